"""From a DICOM file's stored values to the grey picture that a radiologist is shown.

Every step before the resize maps one stored value to one grey, so it is worked out once per value that occurs, in
float64, and looked up for the pixels: exact, and quick for films of twenty million pixels.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cxrlib.files import atomic_path
from cxrlib.films.decoding import UnreadableImage, grey_values
from cxrlib.films.look import look
from cxrlib.intake.greys import has_window, rescaled, windowed
from cxrlib.intake.header import (
    COLOUR,
    DAMAGED,
    NO_CONTRAST,
    NO_PIXELS,
    NOT_DICOM,
    OTHER_DEPTH,
    UNKNOWN_SYNTAX,
    Skipped,
    in_plain_words,
    open_dataset,
)

if TYPE_CHECKING:
    from pydicom import Dataset

    from cxrlib.intake.source import Source

# A study squashes films to 256 pixels or fewer: four times that is enough for it, and for a look at the borders.
LONG_SIDE_PX = 1024
# Percentiles of the pixels inside the mask that become black and white.
BLACK_PERCENTILE, WHITE_PERCENTILE = 0.5, 99.5
# A window or table that makes more of a film plain black or white than this lies beside its data.
MOST_CLIPPED = 0.8
# The old processes of lossy JPEG, which GDCM reads with up to twelve bits, though not by way of pydicom.
READ_BY_GDCM = {f"1.2.840.10008.1.2.4.{process}" for process in (51, 52, 53, 54, 55, 56)}
OTHER_WINDOW, TWO_GREYS = "its first window is beside its data", "says two things about black and white"

TAGS = [
    "SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape", "PixelData", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]  # fmt: skip


def convert_file(item: tuple[bytes, Path, str], source: "Source") -> tuple[str, str, str]:
    """Turn the file `item[0]` of `source` into the PNG `item[1]`: (reason, detail, note).

    The reason says why it can't be, else it is empty; the note is for a person who looks at the film.

    `item[2]` says where its rows and columns run (see `turn_upright`), empty for a film that hangs right.

    The PNG appears whole or not at all, and carries nothing but pixels. Raises `InputError` where it can't be written.
    """
    path, picture, turn = item
    try:
        image, note = shown(source.file(path))
        image = turn_upright(image, turn)
        note = "; ".join(filter(None, (note, *look(image))))
    except Skipped as skipped:
        return skipped.reason, skipped.detail, ""
    with atomic_path(picture) as temporary:
        image.save(temporary, format="PNG")
    return "", "", note


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
    return shown(file, long_side)[0]


def shown(file: Path, long_side: int = LONG_SIDE_PX) -> tuple[Image.Image, str]:
    """`picture_of` a file, and a note where its header leaves in doubt how it is to be shown, else empty."""
    try:
        dataset = open_dataset(file, TAGS, stop_before_pixels=False)
    except Skipped as skipped:
        if skipped.reason != NOT_DICOM:
            raise
        return _at_size(_grey_of_picture(file), long_side), ""
    try:
        grey, note = _grey_of(dataset, file)
    except Skipped:
        raise
    except MemoryError:
        raise Skipped(DAMAGED, "asks for too much memory") from None
    except Exception as error:  # decoders and damaged attributes raise nearly every type
        raise Skipped(DAMAGED, in_plain_words(error)) from None
    return _at_size(grey, long_side), note


def _at_size(grey: np.ndarray, long_side: int) -> Image.Image:
    film = Image.fromarray(grey)
    scale = long_side / max(film.size)
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in film.size)
        film = film.resize(size, Image.Resampling.BILINEAR)
    return Image.fromarray(np.rint(np.clip(np.asarray(film), 0, 1) * 255).astype(np.uint8))


def _grey_of_picture(file: Path) -> np.ndarray:
    """float32 (rows, columns) of a picture that is no DICOM file, stretched as films are."""
    try:
        values = grey_values(file)
    except UnreadableImage as error:
        raise Skipped(COLOUR if "colours" in str(error) else DAMAGED, str(error)) from None
    counts = np.bincount(values.ravel())
    return _stretched(np.arange(len(counts), dtype=float), counts)[values]


def _grey_of(dataset: "Dataset", file: Path) -> tuple[np.ndarray, str]:
    """float32 (rows, columns), 0 black to 1 white, and a note. The order of operations is that of DICOM PS3.4, N.2."""
    stored, padded = _stored_values(dataset, file)
    lowest = int(stored.min())
    counts = np.bincount((stored.ravel() - lowest)[~padded.ravel()], minlength=int(stored.max()) - lowest + 1)
    inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    notes = []
    # The standard wants INVERSE with MONOCHROME1 and IDENTITY with MONOCHROME2 (PS3.3, C.8.11.3): the latter decides.
    if dataset.get("PresentationLUTShape") not in (None, "", "INVERSE" if inverse else "IDENTITY"):
        notes.append(TWO_GREYS)
    values, first = _first_that_shows(np.arange(lowest, lowest + len(counts)), counts, dataset)
    if not first:
        notes.append(OTHER_WINDOW)
    values = -values if inverse else values
    film = _stretched(values, counts)[stored - lowest]
    if padded.any() and film[padded].max() > 0.5:
        padded = _at_the_border(padded)
    return np.where(padded, np.float32(0), film), "; ".join(notes)


def _stretched(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The grey, float32 from 0 to 1, of each value that occurs so often."""
    black, white = _percentiles(values, counts)
    if not white > black:
        raise Skipped(NO_CONTRAST)
    return np.clip((values - black) / (white - black), 0, 1).astype(np.float32)


def _first_that_shows(stored: np.ndarray, counts: np.ndarray, dataset: "Dataset") -> tuple[np.ndarray, bool]:
    """Values by the first VOI table or window that leaves most of the film between black and white, else by none.

    Also whether that was the film's first.
    """
    values = rescaled(stored, dataset)
    seen = counts > 0
    for number, made in enumerate(windowed(values, dataset)):
        lowest, highest = made[seen].min(initial=np.inf), made[seen].max(initial=-np.inf)
        ends = [counts[made == end] for end in {lowest, highest}]
        clipped = sum(int(at.sum() - at.max(initial=0)) for at in ends)
        if highest > lowest and clipped <= MOST_CLIPPED * counts.sum():
            return made, number == 0
    return values, not has_window(dataset) or not seen.sum() > 1


def _at_the_border(padded: np.ndarray) -> np.ndarray:
    """Padding that reaches the film's border: within, a bright value that looks like padding is a bright place."""
    from scipy import ndimage

    areas, _ = ndimage.label(padded)
    outside = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    return np.isin(areas, outside[outside > 0])


def _stored_values(dataset: "Dataset", file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels as stored, int32 (rows, columns), and where they are padding."""
    from pydicom.pixels import pixel_array

    if "PixelData" not in dataset or not dataset["PixelData"].VM:
        raise Skipped(NO_PIXELS)
    by_gdcm = _complete_meta(dataset)
    allocated, stored_bits = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16) or not 1 <= stored_bits <= allocated:
        raise Skipped(OTHER_DEPTH, f"{stored_bits} of {allocated} bits")
    raw = _by_gdcm(file) if by_gdcm else pixel_array(dataset, correct_unused_bits=False)
    if raw.shape != (dataset.Rows, dataset.Columns):
        raise Skipped(DAMAGED, f"found {raw.shape} pixels, expected {(dataset.Rows, dataset.Columns)}")
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    # Bits above the stored ones are no part of a value: old files keep overlays there, e.g. a name.
    unused = 8 * raw.dtype.itemsize - stored_bits
    above = int(dataset.get("HighBit") or stored_bits - 1) + 1 - stored_bits
    if 0 < above <= unused and _lies_high(raw, above, stored_bits):
        raw = np.right_shift(raw, above)
    stored = np.right_shift(np.left_shift(raw, unused), unused)
    padded = _padding(dataset, raw, allocated, signed)
    return stored.astype(np.int32), padded


def _lies_high(raw: np.ndarray, above: int, stored_bits: int) -> bool:
    """Whether values are kept in the upper bits, as HighBit says: old files do, others only say so."""
    used, lowest = int(np.bitwise_or.reduce(raw, axis=None)), (1 << above) - 1
    return used & lowest == 0 if raw.dtype.kind == "i" else (used >> stored_bits) & lowest != 0


def _complete_meta(dataset: "Dataset") -> bool:
    """Name the encoding of files without the preamble; whether only GDCM reads it. Refuses those without a decoder."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in READ_BY_GDCM:
        return True
    try:
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        raise Skipped(UNKNOWN_SYNTAX, str(syntax))
    return False


def _by_gdcm(file: Path) -> np.ndarray:
    """The pixels (rows, columns) as GDCM decodes them, unsigned."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(os.fsencode(file).decode("utf-8", "surrogateescape"))
    if not reader.Read():
        raise Skipped(UNKNOWN_SYNTAX, "GDCM can't read it")
    image = reader.GetImage()
    depth = np.uint16 if image.GetPixelFormat().GetBitsAllocated() == 16 else np.uint8
    content = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), depth)
    columns, rows = image.GetDimension(0), image.GetDimension(1)
    if content.size != rows * columns:
        raise Skipped(DAMAGED, f"found {content.size} pixels, expected {rows} x {columns}")
    return content.reshape(rows, columns)


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


def _percentiles(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The values that become black and white: of those that occur, the smallest at or below which the share lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[order])
    if len(reached) == 0 or reached[-1] == 0:
        raise Skipped(NO_CONTRAST, "every pixel is padding")
    places = [np.searchsorted(reached, percent / 100 * reached[-1]) for percent in (BLACK_PERCENTILE, WHITE_PERCENTILE)]
    black, white = (float(values[order[place]]) for place in places)
    return black, white
