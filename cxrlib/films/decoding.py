"""From an image file to grey squares of the study's sizes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

# Others that PIL knows start programs of their own (EPS) or hold no films.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "GIF", "WEBP")
END_MARKS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
MAXIMUM_SIDE_PX = 20_000
MAXIMUM_PIXELS = 89_000_000
# A progressive JPEG is decoded once per scan; ten are usual, and thousands in a small file can take hours.
MAXIMUM_SCANNED_PIXELS = 2_000_000_000
DRAFT_GAP = 2
STRIP_PIXELS = 4_000_000
# Of 255; lossy formats store what is opaque a little lower.
LEAST_OPAQUE = 250
# Of 255, between the colours of a pixel: scans and lossy formats tint a grey film a little.
MOST_COLOUR = 12

Result = TypeVar("Result")


class UnreadableImage(Exception):
    """An image file that is left out, with the reason."""


def decode(source: Path | BinaryIO, sizes: Sequence[int]) -> list[np.ndarray]:
    """Decode a film once and squash it to each size: uint8 (size, size), 0 black to 255 white.

    Squashing (no crop, no padding) follows Schaudt et al. 2021; resampling is PIL's bilinear filter, which averages
    over the covered area when it shrinks. A large JPEG is decoded at the smallest of its built-in scales that is at
    least twice the largest size. Raises `UnreadableImage`.
    """
    grey = _grey(_load(source, DRAFT_GAP * max(sizes)))
    return [np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR)) for size in sizes]


def grey_values(source: Path | BinaryIO) -> np.ndarray:
    """A film's grey values at its own size and depth, (rows, columns), eight or sixteen bits unsigned.

    Raises `UnreadableImage`, also for a film in colours.
    """
    image = _opaque(_load(source))
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() >= 0 and values.max() < 2**16:
            return values.astype(np.uint16)
    if image.mode not in ("1", "L", "LA") and not image.mode.startswith(("I", "F")):
        colours = np.asarray(image.convert("RGB").resize((64, 64)), np.int16)
        if np.ptp(colours, axis=2).mean() > MOST_COLOUR:
            raise UnreadableImage("in colours; expected shades of grey")
    return np.asarray(_grey(image))


def decode_whole(source: Path | BinaryIO, longest: int) -> np.ndarray:
    """A film as people look at it: uint8 (H, W) in its own proportions, 0 black, the longer side at most `longest`.
    Raises `UnreadableImage`."""
    grey = _grey(_load(source, DRAFT_GAP * longest))
    scale = min(1.0, longest / max(grey.size))
    width, height = (max(1, round(side * scale)) for side in grey.size)
    return np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))


def decode_mask(source: Path | BinaryIO, sizes: Sequence[int]) -> list[np.ndarray]:
    """A mask as uint8 0/1 (size, size): 1 where at least half of the area is marked. Raises `UnreadableImage`."""
    grey = _opaque(_load(source)).convert("L")
    shrunk = [np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR)) for size in sizes]
    return [(mask >= 128).astype(np.uint8) for mask in shrunk]


def check_ends(file: BinaryIO) -> None:
    """Raise `UnreadableImage` if the header is no film's or its format's end mark is missing; decodes nothing."""
    kind = _translated(lambda: _header(file).format or "")
    file.seek(0, io.SEEK_END)
    file.seek(max(0, file.tell() - 65_536))
    if END_MARKS.get(kind, b"") not in file.read():
        raise UnreadableImage(f"cut short: its {kind} end mark is not there")


def _load(source: Path | BinaryIO, draft_px: int = 0) -> Image.Image:
    """The whole image in memory; a JPEG may come out smaller and grey, but at least `draft_px` a side."""

    def load() -> Image.Image:
        content = source.read_bytes() if isinstance(source, Path) else source.read()
        with _header(io.BytesIO(content)) as image:
            if image.format == "JPEG":
                # The mark of a scan can't occur inside compressed data, where every FF is followed by 00.
                scans = content.count(b"\xff\xda")
                if scans * image.width * image.height > MAXIMUM_SCANNED_PIXELS:
                    raise UnreadableImage(f"too large: {scans:,} scans of {image.width} x {image.height} pixels")
                if draft_px and image.mode in ("L", "RGB"):
                    image.draft("L", (draft_px, draft_px))
            image.load()
            return image

    return _translated(load)


def _translated(work: Callable[[], Result]) -> Result:
    """What `work` returns; whatever goes wrong in PIL becomes an `UnreadableImage`."""
    try:
        return work()
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(f"too large: more than {MAXIMUM_PIXELS:,} pixels") from None
    except Exception as error:
        # Only PIL works here, and damaged files make its decoders fail in every way that Python knows.
        raise UnreadableImage(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


def _header(file: BinaryIO) -> Image.Image:
    image = Image.open(file, formats=FORMATS)
    if max(image.size) > MAXIMUM_SIDE_PX:
        raise UnreadableImage(f"too large: {image.width} x {image.height} pixels; at most {MAXIMUM_SIDE_PX:,} a side")
    if image.width * image.height > MAXIMUM_PIXELS:
        raise UnreadableImage(f"too large: more than {MAXIMUM_PIXELS:,} pixels")
    return image


def _grey(image: Image.Image) -> Image.Image:
    """Eight-bit grey."""
    image = _opaque(image)
    if image.mode.startswith(("I", "F")):
        return _from_deep(np.asarray(image))
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _opaque(image: Image.Image) -> Image.Image:
    """The image without its alpha, which nothing may depend on: what lies beneath may be a film, and may be none."""
    if not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):
        hidden = np.asarray(image) == image.info["transparency"]
    else:
        hidden = np.asarray(image.convert("RGBA"))[..., 3] < LEAST_OPAQUE
    if hidden.any():
        raise UnreadableImage(f"transparent: {100 * hidden.mean():.2g} % of its pixels; save it without transparency")
    return image if image.mode.startswith("I") else image.convert("RGBA").convert("RGB")


def _from_deep(values: np.ndarray) -> Image.Image:
    """Detectors store 10 to 16 bits: scale by the fewest of 8, 10, 12, 14, 16 bits that hold the maximum.

    Negative values shift the scale, and what is not finite becomes 0. A strip at a time, since a large film takes
    eight times its size as float64.
    """
    rows = max(1, STRIP_PIXELS // values.shape[1])
    strips = [slice(start, start + rows) for start in range(0, values.shape[0], rows)]
    lowest = min(np.min(values[strip], where=np.isfinite(values[strip]), initial=0) for strip in strips)

    def shifted(strip: slice) -> np.ndarray:
        return np.nan_to_num(values[strip].astype(np.float64) - float(lowest), nan=0.0, posinf=0.0, neginf=0.0)

    maximum = max(float(shifted(strip).max()) for strip in strips)
    bits = next((bits for bits in (8, 10, 12, 14, 16) if maximum < 2**bits), None)
    ceiling = 2**bits - 1 if bits else maximum
    grey = np.empty(values.shape, np.uint8)
    for strip in strips:
        grey[strip] = np.rint(np.minimum(shifted(strip) * (255 / ceiling), 255))
    return Image.fromarray(grey)
