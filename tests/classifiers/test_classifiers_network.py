"""Networks for grey films: what goes in, what learns, what augmentation does."""

import http.server
import socket
import threading
import time

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from cxrlib import features
from cxrlib.classifiers.network import (
    PixelStatistics,
    as_pixels,
    augment,
    normalise,
    pixel_statistics,
    start_phase,
)
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.errors import InputError
from cxrlib.features import build_network, describe_weights, extract_features, last_layer


@pytest.fixture(scope="module")
def trained_resnet(tmp_path_factory):
    """A three-channel torchvision network and its weights in a file."""
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None)
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict(), file)
    return network, file


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "convnext_tiny", "shufflenet_v2_x0_5"])
def test_network_takes_one_channel_and_gives_two_outputs(name):
    network = build_network(name, "none", 2, seed=3).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 2)
    assert last_layer(network)[1].out_features == 2


def test_grey_film_answers_like_three_equal_channels(trained_resnet):
    colour, file = trained_resnet
    colour.fc = nn.Identity()
    grey = build_network("resnet18", str(file), 2)
    grey.fc = nn.Identity()
    film = torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        expected = colour.eval()(film.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.eval()(film), expected, rtol=1e-4, atol=1e-5)


def test_seed_decides_every_weight():
    first, again, other = (build_network("resnet18", "none", 2, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_network("shufflenet_v2_x0_5", "none", 2)
    assert torch.equal(torch.rand(1), expected)


def test_a_network_trained_on_chests_gets_grey_levels_as_its_package_scales_them(tmp_path, monkeypatch):
    """A stand-in for the package's file: the same layers for one channel, no last layer."""
    torch.manual_seed(2)
    network = torchvision.models.densenet121(weights=None)
    network.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    state = {name: value for name, value in network.state_dict().items() if name.startswith("features.")}
    save_file(state, tmp_path / "chest.safetensors")
    seen = []
    true_forward = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda layer, films: seen.append(films) or true_forward(layer, films))
    films = np.full((2, 64, 64), 255, np.uint8)
    films[1] = 0
    found = extract_features(films, network="torchxrayvision_densenet121", weights=str(tmp_path / "chest.safetensors"))
    assert seen[0].shape == (2, 1, 224, 224)
    assert [float(film.mean()) for film in seen[0]] == pytest.approx([1024, -1024])
    monkeypatch.undo()
    with torch.inference_mode():
        maps = network.eval().features((torch.tensor([1024.0, -1024.0])[:, None, None, None]).expand(2, 1, 224, 224))
    np.testing.assert_allclose(found, maps.relu().mean((2, 3)), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match=r"found `imagenet`, which torchxrayvision_densenet121 has none of"):
        build_network("torchxrayvision_densenet121", "imagenet", 2)


def test_unknown_network_names_the_nearest():
    with pytest.raises(InputError, match=r"`resnet19`.*did you mean `resnet18`"):
        build_network("resnet19", "none", 2)
    with pytest.raises(ValueError, match=r"`densnet121`.*did you mean `densenet121`"):
        ClassifierSettings(network="densnet121")


def test_weights_of_another_network_are_refused(trained_resnet):
    with pytest.raises(
        InputError, match=r"weights of another network, expected those of resnet34: found no `layer1\.2"
    ):
        build_network("resnet34", str(trained_resnet[1]), 2)


def test_damaged_or_missing_weights_are_refused(tmp_path):
    file = tmp_path / "broken.safetensors"
    file.write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"broken\.safetensors: not a readable"):
        build_network("resnet18", str(file), 2)
    with pytest.raises(ValueError, match="no such file"):
        ClassifierSettings(weights=str(tmp_path / "absent.safetensors"))
    with pytest.raises(ValueError, match=r"expected `imagenet`, `none`, or the path of a \.safetensors"):
        ClassifierSettings(weights="imagenett")


def test_weights_are_described_plainly(trained_resnet):
    assert describe_weights("resnet18", "none") == "random weights"
    assert "ImageNet" in describe_weights("resnet18", "imagenet")
    assert "resnet18.safetensors (SHA-256 " in describe_weights("resnet18", str(trained_resnet[1]))


def test_imagenet_without_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
    with pytest.raises(InputError, match=r"download of https://.* failed.*local \.safetensors file.*`none`"):
        build_network("resnet18", "imagenet", 2)


def test_imagenet_never_waits_for_ever(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "DOWNLOAD_TIMEOUT_SECONDS", 0.3)
    release = threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            release.wait(20)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    source = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    address = f"http://127.0.0.1:{server.server_port}/resnet18-00000000.pth"
    monkeypatch.setattr(type(source), "url", property(lambda _: address))
    started = time.monotonic()
    with pytest.raises(InputError, match="timed out"):
        build_network("resnet18", "imagenet", 2)
    assert time.monotonic() - started < 10
    assert socket.getdefaulttimeout() is None
    release.set()
    server.shutdown()
    server.server_close()


def test_features_do_not_depend_on_the_batch_and_tell_films_apart():
    films = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    together = extract_features(films, network="shufflenet_v2_x0_5", weights="none", seed=4)
    alone = extract_features(films, network="shufflenet_v2_x0_5", weights="none", seed=4, batch_size=1)
    assert together.shape == (6, 1024)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(
        together, extract_features(films, network="shufflenet_v2_x0_5", weights="none", seed=4)
    )
    assert together.std(axis=0).mean() > 1e-3


def test_frozen_phase_of_a_trained_network_changes_the_last_layer_only(trained_resnet):
    network = build_network("resnet18", str(trained_resnet[1]), 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _take_a_step(network, start_phase(network, "frozen", pretrained=True))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_frozen_phase_of_a_random_network_settles_its_batch_norm_but_no_weight():
    network = build_network("resnet18", "none", 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _take_a_step(network, start_phase(network, "frozen", pretrained=False))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {"fc.weight", "fc.bias", "bn1.running_mean"} <= changed
    assert not {name for name, _ in network.named_parameters()} & changed - {"fc.weight", "fc.bias"}


def test_all_parameters_learn_after_the_frozen_phase(trained_resnet):
    network = build_network("resnet18", str(trained_resnet[1]), 2)
    start_phase(network, "frozen", pretrained=True)
    assert len(start_phase(network, "all", pretrained=True)) == len(list(network.parameters()))
    assert all(module.training for module in network.modules())


def test_every_film_is_turned_and_mirrored_by_itself():
    film = torch.rand(1, 1, 32, 32).expand(4, -1, -1, -1)
    angles = torch.tensor([0.0, 5.0, -5.0, 0.0])
    mirrored = torch.tensor([False, False, False, True])
    result = augment(film, angles, mirrored)
    torch.testing.assert_close(result[0], film[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(result[3], film[0].flip(-1), rtol=0, atol=1e-5)
    assert (result[1] - result[2]).abs().max() > 0.05


@pytest.mark.parametrize("mirror", [False, True])
def test_rotation_is_the_angle_asked_for(mirror):
    """Against torchvision's own rotation, which turns the other way round for a positive angle."""
    films = torch.rand(2, 1, 33, 33)
    result = augment(films, torch.tensor([5.0, -3.0]), torch.tensor([mirror, mirror]))
    for index, angle in enumerate((5.0, -3.0)):
        source = films[index].flip(-1) if mirror else films[index]
        candidates = [
            torchvision.transforms.functional.rotate(
                source, sign * angle, interpolation=torchvision.transforms.InterpolationMode.BILINEAR
            )
            for sign in (1, -1)
        ]
        centre = (slice(None), slice(8, 25), slice(8, 25))
        assert min((result[index][centre] - found[centre]).abs().max() for found in candidates) < 1e-4


def test_normalised_training_films_have_mean_0_and_standard_deviation_1():
    films = np.random.default_rng(0).integers(0, 200, (20, 16, 16), dtype=np.uint8)
    statistics = pixel_statistics(films)
    assert statistics.mean == pytest.approx(films.mean() / 255, abs=1e-12)
    assert statistics.std == pytest.approx(films.std() / 255, abs=1e-12)
    result = normalise(as_pixels(torch.from_numpy(films)), statistics)
    assert float(result.mean()) == pytest.approx(0, abs=1e-4)
    assert float(result.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_films_of_one_grey_value_do_not_divide_by_zero():
    statistics = pixel_statistics(np.full((2, 8, 8), 7, np.uint8))
    assert statistics == PixelStatistics(7 / 255, 1 / 255)


def _take_a_step(network, parameters):
    optimiser = torch.optim.Adam(parameters, lr=0.01)
    nn.functional.cross_entropy(network(torch.randn(4, 1, 32, 32)), torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()


def _refuse(*_, **__):
    raise socket.gaierror("no network")
