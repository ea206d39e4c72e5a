"""The book's figures that show films: sheets and outlines.

Each says beside its films where they come from: real, synthetic or simulated. Films that may not be published come in
as None and leave a note in their place.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw

from cxrlib.chapters.style import DOTS_PER_INCH, MUTED, RED, SKY, WIDTH_INCHES, drawing
from cxrlib.errors import InputError

# Pixels of a strip of films: a film, from one to the next, and the line above a walk.
STRIP = {"columns": 8, "size": 152, "step": 160, "heading": 28}
# Likewise of a map of films, and the frame of positive ones.
GRID = {"size": 60, "step": 66, "heading": 28}
FRAME = 3
# Black would run into the black edge of a film.
FRAMED = 140


@dataclass(frozen=True)
class FilmRow:
    """One row of films under a heading.

    `films` is a uint8 array (n, S, S), or None where the films may not be shown; `origin` is "real", "synthetic" or
    "simulated" (or says more). `captions` stand under the films, if given.
    """

    title: str
    films: np.ndarray | None
    origin: str
    captions: Sequence[str] = ()


def film_sheet(rows: Sequence[FilmRow], films_per_row: int = 8) -> Figure:
    """Films in rows, each row under a heading that names it and says where its films come from.

    A row longer than `films_per_row` runs on over several lines. Raises `InputError` if there is no row.
    """
    if not rows:
        raise InputError("a sheet of films: found no row, expected at least one; give it films to show")
    lines = [1 if row.films is None or not len(row.films) else -(-len(row.films) // films_per_row) for row in rows]
    extra = [0.36 + (0.2 if row.captions else 0.0) for row in rows]
    film_inches = WIDTH_INCHES / films_per_row
    heights = [
        (film_inches * count if row.films is not None and len(row.films) else 0.5) + more
        for row, count, more in zip(rows, lines, extra, strict=True)
    ]
    with drawing(len(rows), 1, sum(heights), height_ratios=heights) as (figure, axes):
        for row, ax in zip(rows, axes[:, 0], strict=True):
            _draw_films(row, films_per_row, ax)
    return figure


def head_row(row: FilmRow, ax: Axes, **title: Any) -> bool:
    """Print a row's heading and its films' origin; whether there are films to draw, else a note says why not."""
    ax.set_axis_off()
    ax.set_title(row.title, **title)
    ax.set_title(row.origin, loc="right", fontsize=8, color=MUTED, style="italic", fontweight="normal")
    if row.films is not None and len(row.films):
        return True
    text = "these films may not be shown in a published book" if row.films is None else "there are no such films"
    ax.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=ax.transAxes)
    return False


def _draw_films(row: FilmRow, films_per_row: int, ax: Axes) -> None:
    if not head_row(row, ax, fontsize=9):
        return
    films = _enlarged(row.films, round(WIDTH_INCHES / films_per_row * DOTS_PER_INCH))
    mosaic, step = _mosaic(films, films_per_row)
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    size = films.shape[1]
    for index, text in enumerate(row.captions):
        line, column = divmod(index, films_per_row)
        ax.text(column * step + size / 2, line * step + size * 1.03, text, ha="center", va="top", fontsize=7.5)


def _enlarged(films: np.ndarray, pixels: int) -> np.ndarray:
    """Films at the size at which they are printed, each by itself, so that no film bleeds into its neighbour."""
    resized = [Image.fromarray(film).resize((pixels, pixels), Image.Resampling.BICUBIC) for film in films]
    return np.stack([np.asarray(film) for film in resized])


def _mosaic(films: np.ndarray, columns: int) -> tuple[np.ndarray, int]:
    """Films side by side, (lines·step, columns·step) float, white between them, and the step in pixels."""
    size = films.shape[1]
    step = size + max(1, size // 24)
    lines = -(-len(films) // columns)
    mosaic = np.full((lines * step - (step - size), columns * step - (step - size)), 255.0)
    for index, film in enumerate(films):
        line, column = divmod(index, columns)
        mosaic[line * step : line * step + size, column * step : column * step + size] = film
    return mosaic, step


def annotated_films(
    films: np.ndarray, lungs: np.ndarray | None, opacities: np.ndarray | None, titles: Sequence[str], origin: str
) -> Figure:
    """Films with outlines: lungs in red, solid; opacities in blue, dashed.

    `films` uint8 (n, S, S); masks bool (n, S, S), or None where they are not known (an empty mask draws nothing).
    """
    with drawing(1, len(films), WIDTH_INCHES / max(len(films), 2) + 0.75, origin) as (figure, axes):
        for index, ax in enumerate(axes[0]):
            ax.imshow(films[index], cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
            ax.set_title(titles[index])
            ax.set_axis_off()
            _outline(ax, None if lungs is None else lungs[index], RED, "solid")
            _outline(ax, None if opacities is None else opacities[index], SKY, (0, (3, 1)))
        known = [
            (Line2D([], [], color=RED, linewidth=2), "lungs", lungs),
            (Line2D([], [], color=SKY, linewidth=2, linestyle=(0, (3, 1))), "ground-glass opacity", opacities),
        ]
        drawn = [(handle, text) for handle, text, masks in known if masks is not None and np.any(masks)]
        if drawn:
            handles, texts = zip(*drawn, strict=True)
            figure.legend(handles, texts, loc="outside lower left", ncols=2)
    return figure


def _outline(ax: Axes, mask: np.ndarray | None, colour: str, line: Any) -> None:
    if mask is not None and np.any(mask):
        ax.contour(np.asarray(mask, dtype=float), [0.5], colors=[colour], linewidths=1.8, linestyles=[line])


def film_strip(walks: Mapping[str, np.ndarray], origin: str) -> bytes:
    """Films that change, uint8 (frames, S, S) per name, frame by frame in lines of `STRIP["columns"]`, as a PNG.

    Above each walk stand its name and where its films come from.
    """
    size, step, heading = STRIP["size"], STRIP["step"], STRIP["heading"]
    lines = -(-len(next(iter(walks.values()))) // STRIP["columns"])
    width = STRIP["columns"] * step
    picture = Image.new("L", (width, len(walks) * (heading + lines * step)), "white")
    pen = ImageDraw.Draw(picture)
    for row, (name, films) in enumerate(walks.items()):
        top = row * (heading + lines * step)
        pen.text((0, top + heading - 5), name, fill=0, anchor="ls", font_size=18)
        pen.text((width - 4, top + heading - 5), origin, fill=80, anchor="rs", font_size=15)
        for frame, film in enumerate(_enlarged(films, size)):
            line, column = divmod(frame, STRIP["columns"])
            picture.paste(Image.fromarray(film), (column * step, top + heading + line * step))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def film_grid(films: np.ndarray, cells: pd.DataFrame, side: int, origin: str) -> bytes:
    """Films, uint8 (n, S, S), in cells of a square of `side` cells, positive ones framed, as a PNG.

    `cells` has row, column and label of each film. Above stands where the films come from.
    """
    size, step, heading = GRID["size"], GRID["step"], GRID["heading"]
    picture = Image.new("L", (side * step, heading + side * step), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((side * step - 4, heading - 9), origin, fill=80, anchor="rs", font_size=15)
    pen.text((FRAME, heading - 9), "framed in grey: positive", fill=0, anchor="ls", font_size=15)
    for film, cell in zip(_enlarged(films, size), cells.itertuples(), strict=True):
        left, top = cell.column * step + FRAME, heading + cell.row * step + FRAME
        if cell.label == "positive":
            pen.rectangle((left - FRAME, top - FRAME, left + size + FRAME - 1, top + size + FRAME - 1), fill=FRAMED)
        picture.paste(Image.fromarray(film), (left, top))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()
