"""EfficientNet-Lite: the networks of its authors, weights that are checked, and one entry in the table of networks."""

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrlib.classifiers.explanation import attention_stage
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.efficientnet_lite import VARIANTS, EfficientNetLite, imagenet_state
from cxrlib.errors import InputError
from cxrlib.features import build_network, describe_weights, extract_features, identify_weights
from cxrlib.networks import JUDGE, NETWORKS, Network


@pytest.fixture(autouse=True)
def full_size(monkeypatch):
    monkeypatch.setitem(NETWORKS, JUDGE, replace(NETWORKS[JUDGE], side=224))


@pytest.fixture(scope="module")
def trained():
    def network(name):
        built = EfficientNetLite(name).eval()
        built.load_state_dict(imagenet_state(name))
        return built

    return {name: network(name) for name in VARIANTS}


def ramp(side=224):
    steps = torch.arange(float(side))
    return ((steps[None] + steps[:, None]) / (2 * side - 2) * 255).round()


def stripes(side):
    return ((torch.arange(side) // 4 % 2) * 160.0 + 40).expand(side, side)


# Made with the networks of the package efficientnet-lite-pytorch 0.1.0 and the same weights. It pads each layer as for
# images of 224 (Lite0) or 240 pixels.
@pytest.mark.parametrize(
    ("name", "film", "first", "norm", "best"),
    [
        ("efficientnet_lite0", ramp(), [-0.58818, 0.14322, -0.71316, -2.20518], 43.62135, 534),
        ("efficientnet_lite0", stripes(64), [-2.41632, 1.34338, -4.27638, -1.61752], 126.19416, 753),
        ("efficientnet_lite1", ramp(240), [-0.51383, 0.14248, -0.23305, -0.70364], 41.38959, 551),
        ("efficientnet_lite1", stripes(240), [-0.8571, 0.65164, -0.715, -0.48566], 35.00937, 753),
    ],
    ids=["Lite0, ramp at 224", "Lite0, stripes at 64", "Lite1, ramp at 240", "Lite1, stripes at 240"],
)
def test_it_answers_as_the_network_its_weights_were_made_for(trained, name, film, first, norm, best):
    with torch.no_grad():
        found = trained[name](((film - 127) / 128).expand(1, 3, -1, -1))[0]
    np.testing.assert_allclose(found[:4], first, atol=1e-4)
    assert float(found.norm()) == pytest.approx(norm, rel=1e-5)
    assert int(found.argmax()) == best


@pytest.mark.parametrize(("name", "count"), [("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680)])
def test_it_has_as_many_parameters_as_its_authors_say(name, count):
    assert sum(parameter.numel() for parameter in EfficientNetLite(name).parameters()) == count


def test_batch_normalisation_can_be_put_into_its_convolutions(trained):
    unit = trained["efficientnet_lite1"].features[0]
    films = ramp()[None, None].expand(1, 3, -1, -1) / 255
    with torch.no_grad():
        fused = fuse_conv_bn_eval(unit[0], unit[1])(films)
        torch.testing.assert_close(fused, unit[1](unit[0](films)), rtol=1e-4, atol=1e-4)


def test_features_of_a_grey_film_are_those_of_three_equal_channels(trained):
    films = np.stack([ramp().numpy().astype(np.uint8)] * 2)
    with torch.no_grad():
        expected = trained["efficientnet_lite0"].features(((ramp() - 127) / 128).expand(1, 3, -1, -1)).mean((2, 3))[0]
    found = extract_features(films, network="efficientnet_lite0", weights="imagenet")
    np.testing.assert_allclose(found[1], expected, rtol=1e-3, atol=1e-4)
    small = extract_features(films[:, ::4, ::4], network="efficientnet_lite0", weights="imagenet")
    assert np.linalg.norm(small[0] - found[0]) < 0.5 * np.linalg.norm(found[0]), "a smaller film is brought to 224"


@pytest.mark.parametrize("side", [32, 64, 128])
def test_it_is_a_classifier_of_small_films(side):
    settings = ClassifierSettings(network="efficientnet_lite0", weights="imagenet", image_size=side)
    network = build_network(settings.network, settings.weights, 2).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, side, side)).shape == (2, 2)


def test_missing_and_damaged_weights_say_what_to_do(monkeypatch, tmp_path):
    variant = VARIANTS["efficientnet_lite0"]
    package = Path(importlib.util.find_spec(variant.module).origin).parent
    copy = tmp_path / "package"
    shutil.copytree(package, copy)
    file = copy / variant.file
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    spec = importlib.util.spec_from_file_location("package", copy / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"found SHA-256 [0-9a-f]{64}, expected 579344.*damaged or another"):
        imagenet_state("efficientnet_lite0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed; `pip install .*==0\.1\.0`.*`none`"):
        imagenet_state("efficientnet_lite0")


class Smallest(nn.Module):
    """A network that this test adds."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
        self.answer = nn.Linear(5, 1000)

    def forward(self, images):
        return self.answer(self.stage(images).mean((2, 3)))


def smallest(name):
    return Smallest()


def ones(name):
    return {key: torch.ones_like(value) for key, value in Smallest().state_dict().items()}


def test_a_network_is_added_by_one_entry(monkeypatch):
    entry = Network(("stage",), "added_network:smallest", "added_network:ones", "ones", side=48, mean=0.5, std=0.5)
    with pytest.raises(ValueError, match="found `smallest`"):
        ClassifierSettings(network="smallest")
    monkeypatch.setitem(NETWORKS, "smallest", entry)
    monkeypatch.setitem(sys.modules, "added_network", SimpleNamespace(smallest=smallest, ones=ones))
    assert ClassifierSettings(network="smallest").network == "smallest"
    assert identify_weights("smallest", "imagenet") == "ones"
    assert describe_weights("smallest", "imagenet") == "ImageNet weights (ones)"
    films = np.full((3, 16, 16), 255, np.uint8)
    # Brought to 48 pixels, normalised to 1, and summed by a kernel of three by three by three ones.
    features = extract_features(films, network="smallest", weights="imagenet")
    assert features.shape == (3, 5)
    assert features.mean() == pytest.approx(1 + 27 * (142 / 144) ** 2, rel=1e-3)
    stage, cells = attention_stage(build_network("smallest", "imagenet", 2), "smallest", 16)
    assert isinstance(stage, nn.Sequential)
    assert cells == 16
