"""From an image file to grey squares of the study's sizes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

MAXIMUM_SIDE_PX = 20_000
DRAFT_GAP = 2


class UnreadableImage(Exception):
    """An image file that is left out, with the reason."""


def decode(path: Path, sizes: Sequence[int]) -> list[np.ndarray]:
    """Decode a film once and squash it to each size: uint8 (size, size), 0 black to 255 white.

    Squashing (no crop, no padding) follows Schaudt et al. 2021; resampling is PIL's bilinear filter, which averages
    over the covered area when it shrinks. A large JPEG is decoded at the smallest of its built-in scales that is at
    least twice the largest size. Raises `UnreadableImage`.
    """
    grey = _open(path, lambda image: _grey(_draft(image, DRAFT_GAP * max(sizes))))
    return [np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR)) for size in sizes]


def decode_mask(path: Path, sizes: Sequence[int]) -> list[np.ndarray]:
    """A mask as uint8 0/1 (size, size): 1 where at least half of the area is marked. Raises `UnreadableImage`."""
    grey = _open(path, lambda image: image.convert("L"))
    shrunk = [np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR)) for size in sizes]
    return [(mask >= 128).astype(np.uint8) for mask in shrunk]


def _open(path: Path, convert) -> Image.Image:
    try:
        with Image.open(path) as image:
            if max(image.size) > MAXIMUM_SIDE_PX:
                raise UnreadableImage(
                    f"too large: {image.width} x {image.height} pixels; at most {MAXIMUM_SIDE_PX:,} a side"
                )
            return convert(image)
    except UnidentifiedImageError:
        raise UnreadableImage("not an image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(f"too large: more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, KeyError, TypeError) as error:
        raise UnreadableImage(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


def _draft(image: Image.Image, size: int) -> Image.Image:
    if image.format == "JPEG" and image.mode in ("L", "RGB"):
        image.draft("L", (size, size))
    return image


def _grey(image: Image.Image) -> Image.Image:
    """Eight-bit grey; transparent parts become black, as outside the collimated field."""
    if image.mode.startswith(("I", "F")):
        return _from_deep(np.asarray(image, dtype=np.float64))
    if image.mode in ("LA", "PA", "La") or "A" in image.getbands() or "transparency" in image.info:
        colour = image.convert("RGBA")
        black = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, colour).convert("L")
    if image.mode == "L":
        image.load()
        return image.copy()
    return image.convert("RGB").convert("L")


def _from_deep(values: np.ndarray) -> Image.Image:
    """Detectors store 10 to 16 bits: scale by the fewest of 8, 10, 12, 14, 16 bits that hold the maximum."""
    if not np.isfinite(values).all() or values.min() < 0:
        values = np.nan_to_num(values - np.nanmin(values[np.isfinite(values)], initial=0.0), posinf=0.0, neginf=0.0)
    maximum = float(values.max())
    bits = next((bits for bits in (8, 10, 12, 14, 16) if maximum < 2**bits), None)
    ceiling = 2**bits - 1 if bits else maximum
    return Image.fromarray(np.rint(np.minimum(values * (255 / ceiling), 255)).astype(np.uint8))
