"""Contact sheets of every film's borders, where names, numbers and marks are printed, for a human to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from cxrlib.files import atomic_path

TILE_PX = 400
COLUMNS, ROWS = 4, 4
FILMS_PER_SHEET = COLUMNS * ROWS
CAPTION_PX, CAPTION_CHARACTERS = 18, 62
GAP_PX = 8
# An eighth of each side is border. The inner part is dimmed, so that the eye stays outside, but not removed: a
# lateral view or a hand is seen here too.
BORDER_SHARE = 0.125
DIMMED = 0.35
# In the border, print must stand out from black, grey and white alike: broad differences of brightness are halved,
# and what is finer than letters are high is raised.
BROAD, FINE = 0.5, 3.0
LETTER_HEIGHT_PX = 10


def draw_sheet(item: tuple[Path, list[tuple[str, Path]], bool]) -> None:
    """Write the sheet `item[0]` of at most 16 films, given as (caption, PNG). It carries nothing but pixels.

    With `item[2]` the borders are bright and the inside is dimmed; else films are shown as they are.
    """
    place, films, for_borders = item
    width = COLUMNS * (TILE_PX + GAP_PX) + GAP_PX
    height = -(-len(films) // COLUMNS) * (TILE_PX + CAPTION_PX + GAP_PX) + GAP_PX
    sheet = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (caption, picture) in enumerate(films):
        left = GAP_PX + number % COLUMNS * (TILE_PX + GAP_PX)
        top = GAP_PX + number // COLUMNS * (TILE_PX + CAPTION_PX + GAP_PX)
        draw.text((left, top), caption[:CAPTION_CHARACTERS], fill=0, font=font)
        with Image.open(picture) as film:
            sheet.paste(_tile(film.convert("L"), for_borders), (left, top + CAPTION_PX))
    with atomic_path(place) as temporary:
        sheet.save(temporary, format="PNG")


def _tile(film: Image.Image, for_borders: bool) -> Image.Image:
    """The film at tile size, on grey where it is narrower; for a look at its borders, with a dimmed inside."""
    film.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    tile = Image.new("L", (TILE_PX, TILE_PX), 200)
    tile.paste(_with_bright_borders(film) if for_borders else film, (0, 0))
    return tile


def _with_bright_borders(film: Image.Image) -> Image.Image:
    greys = np.asarray(film, np.float64)
    broad = np.asarray(film.filter(ImageFilter.GaussianBlur(LETTER_HEIGHT_PX / 2)), np.float64)
    shown = 128 + BROAD * (broad - 128) + FINE * (greys - broad)
    down, right = (int(side * BORDER_SHARE) for side in greys.shape)
    inside = np.s_[down : greys.shape[0] - down, right : greys.shape[1] - right]
    shown[inside] = DIMMED * greys[inside]
    return Image.fromarray(np.rint(np.clip(shown, 0, 255)).astype(np.uint8))
