"""Networks for grey films: built with or without trained weights, and as extractors of features."""

import copy
import importlib
import pickle
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrlib.errors import InputError
from cxrlib.files import sha256_of
from cxrlib.networks import NETWORKS, unknown_network
from cxrlib.reproducibility import pick_device, random_generator, seed_for

IMAGENET_WEIGHTS = "IMAGENET1K_V1"
DOWNLOAD_TIMEOUT_SECONDS = 20.0


def build_network(name: str, weights: str, outputs: int, *, seed: int = 0) -> nn.Module:
    """A network of `NETWORKS` for one grey channel with a new last linear layer of `outputs` values.

    Takes float tensors (N, 1, H, W). The first convolution's weights are summed over its three input channels, so the
    network answers as it would to a grey film copied into three channels. `weights` is `imagenet` (torchvision's
    IMAGENET1K_V1, as there were in 2021, or those that an installed package brings), `none` (random) or the path of a
    `.safetensors` file with the network's state; its last layer is not used. `seed` decides every random weight.
    Raises `InputError` for an unknown network, weights that can't be had, and a file of another network.
    """
    if name not in NETWORKS:
        raise InputError(f"classifier.network: {unknown_network(name)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("network", name, seed))
        network = _function(NETWORKS[name].build)(name)
        _replace(network, _first_convolution(network), _grey_convolution)
        _replace(network, last_layer(network)[0], lambda layer: nn.Linear(layer.in_features, outputs))
    if weights != "none":
        state, where = _trained_state(name, weights)
        _load_trained(network, state, where, name)
    return network


def last_layer(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the last linear layer, the one that gives the outputs."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return layers[-1]


def describe_weights(network: str, weights: str) -> str:
    """What the network's weights are before training, in words for a reader."""
    if weights == "none":
        return "random weights"
    if weights == "imagenet":
        return f"ImageNet weights ({NETWORKS[network].weights_name})"
    return f"weights from {Path(weights).name} (SHA-256 {identify_weights(network, weights)[:12]}…)"


def identify_weights(network: str, weights: str, expected_sha256: str | None = None) -> str:
    """What decides the weights before training: a file's SHA-256, the name of the ImageNet weights, or `none`.

    Raises `InputError` for a file that is not there or, where its SHA-256 is given, is another file.
    """
    if weights == "none":
        return weights
    if weights == "imagenet":
        return NETWORKS[network].weights_name
    if not Path(weights).is_file():
        raise InputError(f"{weights}: no such weights file; expected the path of a .safetensors file")
    found = sha256_of(Path(weights))
    if expected_sha256 not in (None, found):
        raise InputError(
            f"{weights}: found a file of SHA-256 {found}, expected {expected_sha256} (`classifier.weights_sha256`): "
            "it is damaged or another file; get it again, or correct the study file"
        )
    return found


def extract_features(
    images: np.ndarray, *, network: str, weights: str, seed: int = 0, batch_size: int = 16
) -> np.ndarray:
    """Penultimate features of films, uint8 (N, S, S) to float32 (N, D), in evaluation mode.

    A film's features do not depend on the films beside it. Trained networks get films at the side they were trained at,
    random ones as they are. With `weights: none` the network is a seeded random one, whose batch normalisation is
    settled on noise with the 1/f spectrum of natural images: without it, the features of deep random networks vanish.
    """
    _check_films(images)
    extract = feature_extractor(images.shape[1], network=network, weights=weights, seed=seed, batch_size=batch_size)
    return extract(images)


@torch.inference_mode()
def feature_extractor(
    size: int, *, network: str, weights: str, seed: int = 0, batch_size: int = 16
) -> Callable[[np.ndarray], np.ndarray]:
    """`extract_features` as a function of the films, uint8 (N, size, size), for callers that come again and again.

    The network is built and settled once.
    """
    device, entry = pick_device(), NETWORKS[network]
    model = build_network(network, weights, 2, seed=seed).to(device).to(memory_format=torch.channels_last)
    model = model.eval().requires_grad_(False)
    side = size if weights == "none" else entry.side
    if weights == "none":
        _settle_normalisation(model, (size, size), seed, device)
    features: list[Tensor] = []
    last_layer(model)[1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float().cpu()))

    @torch.inference_mode()
    def extract(images: np.ndarray) -> np.ndarray:
        _check_films(images)
        features.clear()
        for start in range(0, len(images), batch_size):
            films = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
            films = bring_to(films[:, None].float() / 255, side)
            model(((films - entry.mean) / entry.std).contiguous(memory_format=torch.channels_last))
        return torch.cat(features).numpy()

    return extract


def bring_to(films: Tensor, side: int) -> Tensor:
    """Films (N, 1, S, S) at another side, bilinear, without aliasing where they shrink."""
    if films.shape[-1] == side:
        return films
    return functional.interpolate(films, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def _check_films(images: np.ndarray) -> None:
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"found {images.dtype} {images.shape}, expected uint8 (images, size, size)")


def _settle_normalisation(model: nn.Module, size: tuple[int, ...], seed: int, device: torch.device) -> None:
    height, width = size
    spectrum = torch.fft.rfft2(torch.randn(64, height, width, generator=random_generator("cpu", "noise", seed)))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    frequency[0, 0] = torch.inf
    noise = torch.fft.irfft2(spectrum / frequency, s=(height, width))
    noise = noise / noise.std()
    normalisations = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in normalisations:
        layer.momentum = 1.0
        layer.train()
    model(noise[:, None].to(device))
    for layer in normalisations:
        layer.eval()


def _function(place: str) -> Callable[[str], Any]:
    """The function that an entry of `NETWORKS` names as `module:function`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def torchvision_network(name: str) -> nn.Module:
    """A torchvision network with random weights, for three channels."""
    return torchvision.models.get_model(name, weights=None)


def _first_convolution(network: nn.Module) -> str:
    return next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def _replace(network: nn.Module, name: str, make: Callable[[Any], nn.Module]) -> None:
    parent, _, child = name.rpartition(".")
    owner = network.get_submodule(parent)
    setattr(owner, child, make(getattr(owner, child)))


def _grey_convolution(layer: nn.Conv2d) -> nn.Conv2d:
    grey = copy.deepcopy(layer)
    grey.in_channels = 1
    grey.weight = nn.Parameter(layer.weight.detach().sum(dim=1, keepdim=True))
    return grey


def _trained_state(name: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """The network's state and where it is from."""
    if weights == "imagenet":
        return _function(NETWORKS[name].weights)(name), NETWORKS[name].weights_name
    try:
        return load_file(weights), weights
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights}: not a readable .safetensors file: {error}") from None


def torchxrayvision_network(name: str) -> nn.Module:
    """Torchvision's network of the same layers, whose names the package keeps; it lacks the package's last layer."""
    return torchvision_network(name.removeprefix("torchxrayvision_"))


def no_imagenet_weights(name: str) -> dict[str, Tensor]:
    """Raises `InputError`: there are none of this network."""
    raise InputError(
        f"weights: found `imagenet`, which {name} has none of; save its state from the package as a .safetensors file, "
        "and name that file"
    )


def torchvision_weights(name: str) -> dict[str, Tensor]:
    """Torchvision's weights, from its cache or downloaded into it."""
    source = torchvision.models.get_model_weights(name)[IMAGENET_WEIGHTS]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / source.url.rpartition("/")[2]
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_SECONDS):
            return source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        problem = f"{cached} can't be read" if cached.exists() else f"the download of {source.url} failed"
        remedy = f"remove {cached}, or " if cached.exists() else f"put the file into {cached.parent}, or "
        raise InputError(
            f"classifier.weights: found `imagenet`, but {problem} ({error}). To go on without network: {remedy}"
            f"set `weights` to a local .safetensors file of {name}, or to `none` (random weights)."
        ) from None


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Torchvision's download has no limit of its own, and a machine behind a silent firewall would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load_trained(network: nn.Module, state: dict[str, Tensor], where: str, name: str) -> None:
    """Put trained values into all but the last layer."""
    first, last = f"{_first_convolution(network)}.weight", last_layer(network)[0]
    # torchvision's densenet files keep the layer names of an older release.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): state[key] for key in state}
    state = {key: value for key, value in state.items() if not key.startswith(f"{last}.")}
    if first in state and state[first].ndim == 4 and state[first].shape[1] == 3:
        state[first] = state[first].sum(dim=1, keepdim=True)
    expected = {key: value.shape for key, value in network.state_dict().items() if not key.startswith(f"{last}.")}
    needed = {key for key in expected if not key.endswith("num_batches_tracked")}
    problems = [f"no `{key}`" for key in sorted(needed - state.keys())]
    problems += [f"`{key}`, which {name} lacks" for key in sorted(state.keys() - expected.keys())]
    problems += [
        f"`{key}` of shape {tuple(state[key].shape)}, expected {tuple(expected[key])}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key]
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(
            f"{where}: weights of another network, expected those of {name}: found {'; '.join(problems[:3])}{more}. "
            f"Name the file's own network in `classifier.network`, or another file in `classifier.weights`."
        )
    network.load_state_dict(state, strict=False)
