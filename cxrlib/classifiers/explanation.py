"""What a classifier looked at: Grad-CAM (Selvaraju et al. 2017), by captum.

The channels of one convolutional stage are weighted by how much the answer would rise with them, summed, and cut off
at zero. What is left is a coarse map of the places that spoke for the answer.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

from cxrlib.classifiers.network import PixelStatistics, as_pixels, evaluating, normalise
from cxrlib.errors import InputError
from cxrlib.networks import NETWORKS, unknown_network

# A map of fewer cells a side says nothing about places; films of 224 pixels have 7 in the last stage of most networks.
FEWEST_CELLS = 4
FILMS_AT_ONCE = 32


def attention_stage(network: nn.Module, name: str, size: int) -> tuple[nn.Module, int]:
    """The last convolutional stage that still tells places apart on films of `size` pixels, and its cells a side.

    On films of 224 pixels this is the network's last stage; on small films, whose last stage has one or two cells, an
    earlier one. `name` is one of `NETWORKS`. Raises `InputError` for another, and for films too small
    for any stage.
    """
    stages = _stages(network, name)
    cells = dict.fromkeys(range(len(stages)), 0)

    def remember(index: int) -> Callable[..., None]:
        return lambda *values: cells.update({index: min(values[2].shape[2:]) if values[2].ndim == 4 else 0})

    handles = [stage.register_forward_hook(remember(index)) for index, stage in enumerate(stages)]
    try:
        with torch.no_grad(), evaluating(network):
            network(torch.zeros(1, 1, size, size, device=next(network.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    fine = [index for index in cells if cells[index] >= FEWEST_CELLS]
    if not fine:
        raise InputError(
            f"classifier.image_size: found {size}, at which no stage of `{name}` has {FEWEST_CELLS} cells a side; "
            "a map of what the classifier looks at needs larger films"
        )
    return stages[fine[-1]], cells[fine[-1]]


def _stages(network: nn.Module, name: str) -> list[nn.Module]:
    if name not in NETWORKS:
        raise InputError(f"classifier.network: {unknown_network(name)}")
    places = NETWORKS[name].stages
    try:
        if isinstance(places, str):
            return list(network.get_submodule(places).children())
        return [network.get_submodule(place) for place in places]
    except AttributeError:
        raise InputError(
            f"`{name}`: expected its stages at {places}, but the network has none there; is it another network?"
        ) from None


def attention_maps(
    network: nn.Module, stage: nn.Module, images: np.ndarray, statistics: PixelStatistics, labels: Sequence[int]
) -> np.ndarray:
    """Where each film spoke for its label: uint8 (N, S, S) and 0 or 1 (N,) to float32 (N, S, S), 0 to 1.

    Grad-CAM of the log odds of the label against the other one, at `stage`, enlarged bilinearly and scaled to 1 at
    its highest; all 0 where nothing spoke for the label. In evaluation mode and float32; the network's mode is
    restored, layer by layer, when done. Equal films give equal maps, whatever films are beside them.
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"found {images.dtype} {images.shape}, expected uint8 (films, size, size)")
    if len(labels) != len(images):
        raise ValueError(f"found {len(labels)} labels for {len(images)} films")
    device = next(network.parameters()).device
    # Log odds of negative and of positive under softmax, (N, 2): what both outputs share does not count.
    method = LayerGradCam(lambda films: (outputs := network(films)) - outputs.flip(1), stage)
    maps = [np.zeros((0, *images.shape[1:]), np.float32)]
    with evaluating(network):
        for start in range(0, len(images), FILMS_AT_ONCE):
            part = slice(start, start + FILMS_AT_ONCE)
            films = normalise(as_pixels(torch.from_numpy(np.array(images[part])).to(device)), statistics)
            target = torch.as_tensor(np.asarray(labels[part], dtype=np.int64), device=device)
            found = method.attribute(films, target=target, relu_attributions=True).detach().float()
            enlarged = F.interpolate(found, size=images.shape[1:], mode="bilinear", align_corners=False)[:, 0]
            maps.append(_scaled(enlarged).cpu().numpy())
    return np.concatenate(maps)


def _scaled(maps: Tensor) -> Tensor:
    highest = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest.clamp_min(torch.finfo(maps.dtype).tiny), 0.0)


def mass_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's sum that lies inside its mask, (N, S, S) both, to float64 (N,); NaN where a map is all 0."""
    inside = (maps * (np.asarray(masks) > 0)).sum(axis=(1, 2), dtype=np.float64)
    total = np.asarray(maps).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(total), np.nan), where=total > 0)
