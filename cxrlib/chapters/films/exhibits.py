"""What Chapter 1 shows: examples, outlines, copies, grey levels, the map of films."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters import sheets
from cxrlib.chapters.exhibits import draw_rows, film_row
from cxrlib.chapters.films import figures
from cxrlib.chapters.films.appearance import films_on_map
from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import outlined_stand_ins
from cxrlib.chapters.words import origin, role_word
from cxrlib.errors import InputError
from cxrlib.films.containment import Refused, open_inside
from cxrlib.films.decoding import UnreadableImage, decode, decode_mask
from cxrlib.films.images import ImageSet, load_image_set, load_masks, resize_images
from cxrlib.films.phantom import phantom_film
from cxrlib.films.settings import LABELS, ROLES, PhantomSource
from cxrlib.study import Study

# A film with outlines is shown large, so it is read anew at this size where that can be done.
LARGE_PX = 448
MAP_CELLS = 14


def example_rows(study: Study, count: int = 8) -> list[FilmRow]:
    """A row of films for each role and label; of private roles, simulated films that say so in their title."""
    return [film_row(study, role, label, count) for role in study.roles for label in LABELS]


def outlined_films(study: Study) -> dict[str, Any]:
    """A negative and a positive film with what is known of lungs and opacities: for `figures.annotated_films`.

    From the hospital, else from the first role that may be shown and whose lungs are known for both labels. Without
    such a role, simulated films, whose title and origin say so.
    """
    size = study.classifier.image_size
    role = next((name for name in reversed(ROLES) if study.publishable(name) and _has_outlines(study, name)), None)
    if role is None:
        return outlined_stand_ins(study, LARGE_PX)
    films = load_image_set(study, role, size)
    masks = {kind: load_masks(study, role, size, kind) for kind in ("lungs", "opacities")}
    rows = [_example(films.manifest["label"].to_numpy() == label, masks) for label in LABELS]
    shown = [_large(study, role, films, row, masks) for row in rows]
    opacities = [opacity for _, _, opacity in shown]
    return {
        "films": np.stack([film for film, _, _ in shown]),
        "lungs": np.stack([lungs for _, lungs, _ in shown]) > 0,
        "opacities": None if masks["opacities"] is None else np.stack(opacities) > 0,
        "titles": [f"{label} ({role_word(role)})" for label in LABELS],
        "origin": origin(study, role),
    }


def _has_outlines(study: Study, role: str) -> bool:
    """Whether lungs are known in films of both labels."""
    lungs = load_masks(study, role, study.classifier.image_size, "lungs")
    if lungs is None:
        return False
    labels = load_image_set(study, role, study.classifier.image_size).labels
    return {0, 1} <= set(labels[np.asarray(lungs).any(axis=(1, 2))].tolist())


def _example(wanted: np.ndarray, masks: Mapping[str, np.ndarray | None]) -> int:
    """The film of a label with the most opacity where that is known, else with lungs of the most usual size.

    Lungs of an unusual size are as often a faulty outline as an unusual patient.
    """
    areas = (np.asarray(masks["lungs"]) > 0).mean(axis=(1, 2))
    known = wanted & (areas > 0)
    unlike = np.abs(areas - np.median(areas[known]))
    if masks["opacities"] is not None:
        haze = (np.asarray(masks["opacities"]) > 0).mean(axis=(1, 2))
        unlike = -haze if haze[known].any() else unlike
    return int(np.flatnonzero(known)[np.argmin(unlike[known])])


def _large(
    study: Study, role: str, films: ImageSet, row: int, masks: Mapping[str, np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A film with its lungs and opacities, read or simulated anew at `LARGE_PX`; as prepared if its file is gone."""
    facts = films.manifest.iloc[row].to_dict()
    source = study.data.source_of(role, facts["image_id"])
    if isinstance(source, PhantomSource):
        film = phantom_film(source, study.seed, facts, LARGE_PX)
        return film.image, film.lungs, film.opacities
    try:
        with open_inside(source.folder, facts["file"]) as file, open_inside(source.folder, facts["lung_mask"]) as mask:
            return decode(file, (LARGE_PX,))[0], decode_mask(mask, (LARGE_PX,))[0], None
    except (UnreadableImage, Refused, OSError):
        image = resize_images(np.asarray(films.images[row : row + 1]), LARGE_PX)[0]
        return image, resize_images(np.asarray(masks["lungs"][row : row + 1]), LARGE_PX)[0], None


def copied_films(study: Study, count: int = 6) -> list[FilmRow]:
    """Copies that the audit found, side by side, where both roles may be shown; empty if there are none."""
    pairs = pd.read_csv(study.results.duplicates, dtype=str, keep_default_na=False)
    public = [role for role in study.roles if study.publishable(role)]
    shown = pairs[pairs["role_a"].isin(public) & pairs["role_b"].isin(public)]
    shown = shown.sort_values("correlation", ascending=False, kind="stable").head(count)
    if shown.empty:
        return []
    size = study.classifier.image_size
    films = {role: load_image_set(study, role, size, audited=False) for role in public}
    rows = []
    for side in ("a", "b"):
        pixels = [_film_of(films[row[f"role_{side}"]], row[f"image_id_{side}"]) for row in shown.to_dict("records")]
        captions = [role_word(row[f"role_{side}"]) for row in shown.to_dict("records")]
        kinds = origin(study, *sorted(set(shown[f"role_{side}"])))
        rows.append(FilmRow("one film of each pair" if side == "a" else "the other", np.stack(pixels), kinds, captions))
    return rows


def _film_of(films: Any, image_id: str) -> np.ndarray:
    found = np.flatnonzero(films.manifest["image_id"].to_numpy(str) == image_id)
    if not len(found):
        raise InputError(f"duplicates.csv: no film `{image_id}` any more; run `cxr check --force` to search anew")
    return np.array(films.images[found[0]])


def grey_levels(study: Study, films_per_role: int = 200) -> dict[str, np.ndarray]:
    """Pixels of a fixed draw of films per role, uint8 (n, S, S)."""
    found = {}
    for role in study.roles:
        films = load_image_set(study, role, study.classifier.image_size)
        rows = draw_rows(np.arange(len(films)), films_per_role, study.seed, "grey levels", role)
        found[role] = np.array(films.images[rows])
    return found


def films_in_cells(study: Study) -> pd.DataFrame:
    """Of each cell of the map, `MAP_CELLS` a side, the film nearest to its middle, of roles that may be shown.

    A row per cell that has one: place in `film_map`, row and column of the cell (from the top left), role, label.
    """
    points = pd.read_csv(study.results.film_map)
    (left, right), (bottom, top) = figures.map_spans(points)
    across = (points["x"] - left) / (right - left) * MAP_CELLS
    down = (top - points["y"]) / (top - bottom) * MAP_CELLS
    points = points.assign(place=np.arange(len(points)), row=down.astype(int), column=across.astype(int))
    points["away"] = np.hypot(across % 1 - 0.5, down % 1 - 0.5)
    shown = points[points["role"].map(study.publishable)].sort_values("away", kind="stable")
    return shown.drop_duplicates(["row", "column"]).sort_values(["row", "column"]).drop(columns=["x", "y", "away"])


def map_of_pictures(study: Study) -> bytes | None:
    """The map with films in the place of points; None where no film may be shown."""
    cells = films_in_cells(study)
    if cells.empty:
        return None
    shown = films_on_map(study)[cells["place"]]
    return sheets.film_grid(shown, cells, MAP_CELLS, origin(study, *dict.fromkeys(cells["role"])))


def map_by_hand(study: Study) -> dict[str, Any]:
    """What each film of `map_of_pictures` is, and where in the figure of the map its panels lie, for a pointer."""
    cells = films_in_cells(study)
    if cells.empty:
        return {}
    told = [""] * MAP_CELLS**2
    for cell in cells.itertuples():
        told[cell.row * MAP_CELLS + cell.column] = f"{role_word(cell.role)} film, {cell.label}"
    drawn = figures.film_map(pd.read_csv(study.results.film_map), study.private_roles, "films")
    drawn.draw_without_rendering()
    panels = [[round(float(part), 4) for part in ax.get_position().bounds] for ax in drawn.axes]
    placed = {"figure": "fig-map", "panels": panels, "cells": MAP_CELLS, "films": told}
    return {"interactive": {"kind": "map", **placed, **sheets.GRID}}
