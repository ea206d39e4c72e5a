"""The one picture in a PNG or JPEG: nothing before, between, behind or below its pixels, and few notes."""

import io
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from cxrlib.errors import InputError

PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
MOST_FRAMES, LARGEST_BYTES = 64, 256 * 2**20
# Of a PNG: what holds pixels, notes that are searched, and the rest, which has to be short.
PIXELS, NOTES = {"IHDR", "IDAT", "fdAT", "fcTL", "acTL", "PLTE", "tRNS"}, {"tEXt", "zTXt", "iTXt"}
SHORT = {"pHYs", "gAMA", "cHRM", "sRGB", "bKGD", "tIME", "eXIf"}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MOST_NOTE_BYTES, MOST_COLOURS = 1000, 256
# Of a JPEG: parts before the pixels, of which those for notes of programs (0xE0 to 0xEF) and people (0xFE) are short.
SCAN, TABLES, SIZES, PEOPLE = 0xDA, (0xDB, 0xC4, 0xDD), (0xC0, 0xC1, 0xC2), 0xFE
MOST_TABLE_BYTES = 2000
COLOURFUL, COLOURED_SHARE = 40, 0.02
FLAT = 2


def picture_of(data: bytes, where: str, start: bytes) -> tuple[list[tuple[np.ndarray, ...]], dict[str, str]]:
    """The views of each frame, and the notes; raises `InputError` for what is no single picture."""
    try:
        if not data.startswith(start):
            raise ValueError("it does not begin as its name says")
        whole = _is_whole_png(data) if start == PICTURES[".png"] else _is_whole_jpeg(data)
        if not whole:
            raise ValueError("it holds more than one picture's pixels and notes")
        with Image.open(io.BytesIO(data)) as image:
            frames = []
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number == MOST_FRAMES:
                    raise ValueError(f"it has more than {MOST_FRAMES} frames")
                frames.append(tuple(views_of(frame)))
            image.load()
            notes = {**image.info, **getattr(image, "text", {}), **image.getexif()}
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, zlib.error, UnidentifiedImageError,
            Image.DecompressionBombError) as error:  # fmt: skip
        raise InputError(f"{where}: a picture that can't be looked into ({error}); leave it out") from None
    said = {str(name): note.decode("utf-8", "replace") if isinstance(note, bytes) else str(note)
            for name, note in notes.items()}  # fmt: skip
    return frames, said


def views_of(frame: Image.Image) -> Iterator[np.ndarray]:
    """The grey pictures that a frame can be taken for: on white, as a page shows it, and what colour or alpha hides."""
    colour = np.asarray(frame.convert("RGBA"))
    if frame.mode == "P":
        yield np.asarray(frame)
    alpha, channels = colour[..., 3], colour[..., :3].astype(int)
    on_white = Image.alpha_composite(Image.new("RGBA", frame.size, "white"), Image.fromarray(colour))
    yield np.asarray(on_white.convert("L"))
    if alpha.min() < 255:
        yield alpha
        yield np.asarray(Image.fromarray(colour[..., :3]).convert("L"))
    if (np.ptp(channels, axis=2) > COLOURFUL).mean() > COLOURED_SHARE:
        yield from (colour[..., number] for number in range(3))


def _is_whole_png(data: bytes) -> bool:
    """Whether there are only known parts, each note once, nothing behind the end, and no more bytes than the pixels
    take."""
    streams: list[tuple[int, int, bytes]] = []
    depth = channels = interlaced = short = place = 0
    keys: list[bytes] = []
    place, name = 8, ""
    while place < len(data) and name != "IEND":
        size, name = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8].decode("latin-1")
        body = data[place + 8 : place + 8 + size]
        width, height = (int.from_bytes(body[at : at + 4]) for at in ((4, 8) if name == "fcTL" else (0, 4)))
        if name == "IHDR":
            depth, channels, interlaced = body[8], CHANNELS[body[9]], body[12]
            streams.append((width, height, b""))
        elif name == "fcTL" and streams[-1][2]:
            streams.append((width, height, b""))
        elif name in ("IDAT", "fdAT"):
            streams[-1] = *streams[-1][:2], streams[-1][2] + body[4 * (name == "fdAT") :]
        elif name in NOTES:
            keys.append(body.split(b"\0")[0])
        elif name in SHORT:
            short += size
        elif name not in PIXELS | {"IEND"} or size > 3 * MOST_COLOURS:
            return False
        place += 12 + size
    ended = name == "IEND" and place == len(data) and not size
    if not ended or depth > 8 or interlaced or short > MOST_NOTE_BYTES or len(set(keys)) < len(keys):
        return False
    return all(_is_one_stream(of, height * (1 + -(-width * channels * depth // 8))) for width, height, of in streams)


def _is_one_stream(data: bytes, expected: int) -> bool:
    unpacking = zlib.decompressobj()
    size = len(unpacking.decompress(data, min(expected + 1, LARGEST_BYTES)))
    return size == expected and unpacking.eof and not unpacking.unused_data


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether there is one picture, with few notes, without a thumbnail, nothing behind its end or below its last
    row."""
    place, notes, tables, sizes = 2, 0, 0, []
    while data[place : place + 1] == b"\xff" and data[place + 1] != SCAN:
        kind, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        notes += size if 0xE0 <= kind <= 0xEF or kind == PEOPLE else 0
        tables += size if kind in TABLES else 0
        sizes += [place + 5] if kind in SIZES else []
        if not (0xE0 <= kind <= 0xEF or kind == PEOPLE or kind in (*TABLES, *SIZES)):
            return False
        place += 2 + size
    alone = data.endswith(b"\xff\xd9") and data.count(b"\xff\xd8\xff") == 1 and data.count(b"\xff\xd9") == 1
    fits = notes <= MOST_NOTE_BYTES and tables <= MOST_TABLE_BYTES
    return alone and fits and len(sizes) == 1 and not _goes_on(data, sizes[0])


def _goes_on(data: bytes, place: int) -> bool:
    """Whether more rows come out of a JPEG if its header, whose height is at `place`, says that there are more."""
    height = int.from_bytes(data[place : place + 2])
    taller = min(2 * height + 64, 65_000)
    decoded = cv2.imdecode(
        np.frombuffer(data[:place] + taller.to_bytes(2) + data[place + 2 :], np.uint8), cv2.IMREAD_GRAYSCALE
    )
    # Blocks have up to 16 rows, of which the picture's last may lie below its border; what is missing is one grey.
    below = decoded[height + 32 :] if decoded is not None else np.zeros((1, 1))
    return bool(np.ptp(below) > FLAT)
