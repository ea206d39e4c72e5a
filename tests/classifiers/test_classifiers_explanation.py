"""Grad-CAM: maps point to what decides, agree with the formula, and say when they can't be made."""

import numpy as np
import pytest
import torch
from torch import nn

from cxrlib.classifiers.explanation import FEWEST_CELLS, attention_maps, attention_stage, mass_inside
from cxrlib.classifiers.network import PixelStatistics
from cxrlib.errors import InputError
from cxrlib.features import build_network
from cxrlib.networks import NETWORKS

STATISTICS = PixelStatistics(0.5, 0.25)
FAMILY_MEMBERS = (
    "resnet18", "densenet121", "convnext_tiny", "shufflenet_v2_x0_5", "efficientnet_b0", "mobilenet_v3_small",
    "regnet_x_400mf", "mnasnet0_5", "efficientnet_lite0", "efficientnet_lite1", "torchxrayvision_densenet121",
)  # fmt: skip


class CornerNetwork(nn.Module):
    """Sees the upper left quarter of a film only: its bright pixels speak for `positive`, its dark ones against."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(1, 2, 4, stride=4, bias=False), nn.ReLU())
        with torch.no_grad():
            self.stage[0].weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4))

    def forward(self, films):
        side = films.shape[-1] // 2
        seen = torch.zeros_like(films)
        seen[..., :side, :side] = films[..., :side, :side]
        return self.stage(seen).mean(dim=(2, 3))


def films(count, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


def maps_of(network, name, images, labels):
    return attention_maps(network, attention_stage(network, name, images.shape[1])[0], images, STATISTICS, labels)


@pytest.mark.parametrize("label", [0, 1])
def test_a_network_that_looks_at_one_corner_only_is_found_out(label):
    network = CornerNetwork()
    maps = attention_maps(network, network.stage, films(6), STATISTICS, [label] * 6)
    corner = np.zeros((6, 64, 64))
    corner[:, :34, :34] = 1  # two pixels more: half a cell, which enlarging blends in
    assert (maps.max(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(mass_inside(maps, corner), 1.0, atol=1e-6)


def test_a_map_shows_what_spoke_for_the_label_asked_for_and_not_for_the_other():
    network = CornerNetwork()
    film = np.full((1, 64, 64), 128, np.uint8)
    film[0, :16, :16], film[0, 16:32, 16:32] = 250, 5  # bright above left, dark below right of it
    bright, dark = (attention_maps(network, network.stage, film, STATISTICS, [label])[0] for label in (1, 0))
    assert bright[8, 8] == pytest.approx(1)
    assert bright[24, 24] == 0
    assert dark[24, 24] == pytest.approx(1)
    assert dark[8, 8] == 0


def test_maps_agree_with_the_formula_worked_out_by_hand():
    network = build_network("shufflenet_v2_x0_5", "none", 2).eval()
    images = films(2, size=128)
    stage = network.conv5
    kept = {}
    handle = stage.register_forward_hook(lambda module, inputs, output: kept.update(map=output) or output.retain_grad())
    pixels = (torch.from_numpy(images)[:, None].float() / 255 - STATISTICS.mean) / STATISTICS.std
    outputs = network(pixels)
    (outputs[:, 1] - outputs[:, 0]).sum().backward()
    handle.remove()
    weights = kept["map"].grad.mean(dim=(2, 3), keepdim=True)
    coarse = torch.relu((weights * kept["map"]).sum(dim=1, keepdim=True))
    expected = torch.nn.functional.interpolate(coarse, size=(128, 128), mode="bilinear")[:, 0].detach().numpy()
    found = attention_maps(network, stage, images, STATISTICS, [1, 1])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other / other.max() if other.max() > 0 else other, atol=1e-5)


@pytest.mark.parametrize("name", FAMILY_MEMBERS)
def test_every_family_has_its_stage_and_gives_maps_from_0_to_1(name):
    network = build_network(name, "none", 2).train()
    images = films(3)
    _, cells = attention_stage(network, name, 64)
    assert FEWEST_CELLS <= cells <= 8
    maps = np.concatenate([maps_of(network, name, images, [label] * 3) for label in (0, 1)])
    assert maps.shape == (6, 64, 64)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert set(np.unique(maps.max(axis=(1, 2)))) <= {0.0, 1.0}
    assert (maps.max(axis=(1, 2)) == 1).any()
    assert all(module.training for module in network.modules())


def test_every_family_of_networks_that_a_study_may_name_is_tried_here():
    assert {NETWORKS[name] for name in FAMILY_MEMBERS} == set(NETWORKS.values())


def test_at_the_paper_s_size_it_is_the_last_stage():
    for name, last in (("resnet50", "layer4"), ("shufflenet_v2_x0_5", "conv5"), ("densenet121", "features.norm5")):
        network = build_network(name, "none", 2)
        stage, cells = attention_stage(network, name, 224)
        assert stage is network.get_submodule(last)
        assert cells == 7


def test_a_film_s_map_is_always_the_same_whatever_is_beside_it():
    network = build_network("resnet18", "none", 2)
    images = films(5)
    together = maps_of(network, "resnet18", images, [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(together, maps_of(network, "resnet18", images, [1, 0, 1, 0, 1]))
    alone = maps_of(network, "resnet18", images[3:4], [0])
    np.testing.assert_allclose(together[3:4], alone, atol=1e-4)


def test_an_unknown_family_and_films_without_room_are_clear_errors():
    with pytest.raises(InputError, match=r"found `vit_b_16`, which is no network known here"):
        attention_stage(nn.Linear(1, 1), "vit_b_16", 224)
    with pytest.raises(InputError, match=r"`resnet18`: expected its stages at .* is it another network"):
        attention_stage(build_network("shufflenet_v2_x0_5", "none", 2), "resnet18", 64)
    with pytest.raises(InputError, match=r"found 8, at which no stage of `resnet18`"):
        attention_stage(build_network("resnet18", "none", 2), "resnet18", 8)


def test_mass_inside_is_a_share_and_unknown_for_an_empty_map():
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0], maps[1, 0, 0] = 1, 0.5
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[:, :, :1] = 1
    np.testing.assert_allclose(mass_inside(maps, masks), [0.25, 1.0, np.nan])


def test_labels_must_match_the_films():
    network = build_network("resnet18", "none", 2)
    with pytest.raises(ValueError, match="2 labels for 3 films"):
        maps_of(network, "resnet18", films(3), [0, 1])
    assert attention_maps(network, network.layer3, films(0), STATISTICS, []).shape == (0, 64, 64)
