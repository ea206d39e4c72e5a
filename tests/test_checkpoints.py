"""A training state comes back from disk as it was."""

import pytest
import torch

from cxrlib.checkpoints import load_state, save_state
from cxrlib.errors import InputError


def test_networks_and_optimisers_come_back(tmp_path):
    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 3)).sum().backward()
    optimiser.step()
    path = tmp_path / "state.safetensors"
    save_state(path, {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": 3, "none": None})
    state = load_state(path)
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(state["network"])
    fresh = torch.optim.Adam(other.parameters())
    fresh.load_state_dict(state["optimiser"])
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(optimiser.state[one]["exp_avg_sq"], fresh.state[two]["exp_avg_sq"])
    assert state["step"] == 3
    assert state["none"] is None


def test_tensors_that_share_memory_are_kept(tmp_path):
    base = torch.arange(6.0)
    save_state(tmp_path / "s.safetensors", {"a": base, "b": base[2:], "deep": [{"c": base.view(2, 3).t()}]})
    state = load_state(tmp_path / "s.safetensors")
    assert torch.equal(state["b"], base[2:])
    assert torch.equal(state["deep"][0]["c"], base.view(2, 3).t())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"state\.safetensors: not a readable checkpoint"):
        load_state(path)
