"""From a DICOM file's stored values to the grey picture that a radiologist is shown.

Every step before the resize maps one stored value to one grey, so it is worked out once per value that occurs, in
float64, and looked up for the pixels: exact, and quick for films of twenty million pixels.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cxrlib.artifacts import atomic_path
from cxrlib.intake.header import (
    DAMAGED,
    NO_CONTRAST,
    NO_PIXELS,
    UNKNOWN_SYNTAX,
    Skipped,
    open_dataset,
)

if TYPE_CHECKING:
    from pydicom import Dataset

# A study squashes films to 256 pixels or fewer: four times that is enough for it, and for a look at the borders.
LONG_SIDE_PX = 1024
# Percentiles of the pixels inside the mask that become black and white.
BLACK_PERCENTILE, WHITE_PERCENTILE = 0.5, 99.5

TAGS = [
    "SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip


def convert_file(item: tuple[bytes, Path, str], source: Path) -> tuple[str, str]:
    """Turn the file `item[0]` (bytes, relative to `source`) into the PNG `item[1]`; (reason, detail) where it can't.

    `item[2]` says where its rows and columns run (see `turn_upright`), empty for a film that hangs right.

    The PNG appears whole or not at all, and carries nothing but pixels. Raises `InputError` where it can't be written.
    """
    path, picture, turn = item
    try:
        image = turn_upright(picture_of(source / os.fsdecode(path)), turn)
    except Skipped as skipped:
        return skipped.reason, skipped.detail
    with atomic_path(picture) as temporary:
        image.save(temporary, format="PNG")
    return "", ""


def turn_upright(film: Image.Image, turn: str) -> Image.Image:
    """A film whose rows and columns run to `turn` (R, L, H or F each), turned until they run to L and F."""
    if not turn:
        return film
    rows, columns = turn
    if rows in "HF":
        film, rows, columns = film.transpose(Image.Transpose.TRANSPOSE), columns, rows
    if rows == "R":
        film = film.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return film.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if columns == "H" else film


def picture_of(file: Path, long_side: int = LONG_SIDE_PX) -> Image.Image:
    """The film as eight-bit grey, 0 black to 255 white, at most `long_side` pixels a side; never enlarged.

    Values keep their full depth until they are resized. Padded pixels, which no X-ray made, are black. Raises
    `Skipped` for files without readable pixels.
    """
    dataset = open_dataset(file, TAGS, stop_before_pixels=False)
    try:
        grey = _grey_of(dataset)
    except Skipped:
        raise
    except MemoryError:
        raise Skipped(DAMAGED, "asks for too much memory") from None
    except Exception as error:  # decoders and damaged attributes raise nearly every type
        raise Skipped(DAMAGED, f"{type(error).__name__}: {error}") from None
    film = Image.fromarray(grey)
    scale = long_side / max(film.size)
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in film.size)
        film = film.resize(size, Image.Resampling.BILINEAR)
    return Image.fromarray(np.rint(np.clip(np.asarray(film), 0, 1) * 255).astype(np.uint8))


def _grey_of(dataset: "Dataset") -> np.ndarray:
    """float32 (rows, columns), 0 black to 1 white. The order of operations is that of DICOM PS3.4, N.2."""
    stored, padded = _stored_values(dataset)
    lowest = int(stored.min())
    counts = np.bincount((stored.ravel() - lowest)[~padded.ravel()], minlength=int(stored.max()) - lowest + 1)
    values = presented_values(np.arange(lowest, lowest + len(counts)), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = -values
    black, white = _percentiles(values, counts)
    if not white > black:
        raise Skipped(NO_CONTRAST)
    greys = np.clip((values - black) / (white - black), 0, 1).astype(np.float32)
    return np.where(padded, np.float32(0), greys[stored - lowest])


def _stored_values(dataset: "Dataset") -> tuple[np.ndarray, np.ndarray]:
    """The pixels as stored, int32 (rows, columns), and where they are padding."""
    from pydicom.pixels import pixel_array

    if "PixelData" not in dataset or not dataset["PixelData"].VM:
        raise Skipped(NO_PIXELS)
    _complete_meta(dataset)
    allocated, stored_bits = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16) or not 1 <= stored_bits <= allocated:
        raise Skipped(DAMAGED, f"{stored_bits} of {allocated} bits; expected at most 16")
    raw = pixel_array(dataset, correct_unused_bits=False)
    if raw.shape != (dataset.Rows, dataset.Columns):
        raise Skipped(DAMAGED, f"found {raw.shape} pixels, expected {(dataset.Rows, dataset.Columns)}")
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    # Bits above the stored ones are no part of a value: old files keep overlays there, e.g. a name.
    unused = 8 * raw.dtype.itemsize - stored_bits
    stored = np.right_shift(np.left_shift(raw, unused), unused)
    padded = _padding(dataset, raw, allocated, signed)
    return stored.astype(np.int32), padded


def _complete_meta(dataset: "Dataset") -> None:
    """Name the encoding of files without the preamble, and refuse compressions without a decoder."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGExtended12Bit

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        readable = get_decoder(syntax).is_available
        # GDCM and Pillow offer themselves for this one, but read it with eight bits only.
        readable &= syntax != JPEGExtended12Bit or int(dataset.BitsStored) == 8
    except NotImplementedError:
        readable = False
    if not readable:
        raise Skipped(UNKNOWN_SYNTAX, str(syntax))


def _padding(dataset: "Dataset", raw: np.ndarray, allocated: int, signed: bool) -> np.ndarray:
    """True where a pixel holds the padding value, or one between it and the range limit (DICOM PS3.3, C.7.5.1.1.2)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(raw.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [_as_stored(int(end), allocated, signed) for end in (value, value if limit is None else limit)]
    return (raw >= min(ends)) & (raw <= max(ends))


def _as_stored(number: int, bits: int, signed: bool) -> int:
    """A value as the pixels would hold it: files confuse signed and unsigned here."""
    number &= 2**bits - 1
    return number - 2**bits if signed and number >= 2 ** (bits - 1) else number


def presented_values(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """What stored values become by the modality table or rescaling, then by the first VOI table or window: float64."""
    if dataset.get("ModalityLUTSequence"):
        values = _look_up(stored, dataset.ModalityLUTSequence[0], dataset)
    else:
        slope, intercept = _first_number(dataset, "RescaleSlope"), _first_number(dataset, "RescaleIntercept")
        values = stored * (1.0 if slope is None else slope) + (intercept or 0.0)
    if dataset.get("VOILUTSequence"):
        return _look_up(values, dataset.VOILUTSequence[0], dataset)
    return _window(values, dataset)


def _window(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """The first window, from 0 below it to 1 above (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3).

    A window without width, as some exports write it, counts as none. Not pydicom's own function, whose result falls
    where it should rise if the rescale slope is negative.
    """
    center, width = _first_number(dataset, "WindowCenter"), _first_number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if center is None or width is None or not width >= (1 if function == "LINEAR" else 1e-9):
        return values
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _first_number(dataset: "Dataset", name: str) -> float | None:
    value = dataset.get(name)
    if value is None or value == "":
        return None
    return float(value[0] if dataset[name].VM > 1 else value)


def _look_up(values: np.ndarray, table: "Dataset", dataset: "Dataset") -> np.ndarray:
    """A modality or VOI table's entry for each value; values beyond its ends get its first or last entry.

    Not pydicom's own function, which in version 3.0 folds the index of a table with eight-bit entries at 256.
    """
    entries, first, bits = (int(number) for number in table.LUTDescriptor)
    entries = entries & 0xFFFF or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16
    data = table["LUTData"]
    if isinstance(data.value, bytes):
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        eight = len(data.value) < 2 * entries
        greys = np.frombuffer(data.value, np.uint8 if eight else "<u2" if little else ">u2")
    else:
        greys = np.atleast_1d(np.asarray(data.value, np.int64)) & 0xFFFF
    if len(greys) < entries or not 8 <= bits <= 16:
        raise Skipped(DAMAGED, f"a table of {len(greys)} entries of {bits} bits, expected {entries} of 8 to 16")
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)
    return greys[index].astype(np.float64)


def _percentiles(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The values that become black and white: of those that occur, the smallest at or below which the share lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[order])
    if len(reached) == 0 or reached[-1] == 0:
        raise Skipped(NO_CONTRAST, "every pixel is padding")
    places = [np.searchsorted(reached, percent / 100 * reached[-1]) for percent in (BLACK_PERCENTILE, WHITE_PERCENTILE)]
    black, white = (float(values[order[place]]) for place in places)
    return black, white
