"""What the chapters need to tell their story: films that may be shown, figures kept, numbers glued, progress said."""

import io
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure
from PIL import Image as PillowImage

from cxrlib import figures
from cxrlib.artifacts import atomic_path
from cxrlib.data.images import load_image_set, load_masks, load_synthetic
from cxrlib.data.settings import LABELS, ROLES
from cxrlib.film_sheets import FilmRow
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study


def origin(study: Study, *roles: str) -> str:
    """Say "simulated films", "real films" or both, for the roles given (by default all)."""
    kinds = ["simulated" if study.data.source(role).reader == "phantom" else "real" for role in roles or ROLES]
    return f"{' and '.join(dict.fromkeys(kinds))} films"


def synthetic_origin(study: Study) -> str:
    """What stands beside synthetic films: they are a generator's, and it learned from real or simulated ones."""
    return f"synthetic, after {origin(study, 'hospital')}"


def origin_sentence(study: Study) -> str:
    """For the reader, in one plain sentence: are there patients behind the films?"""
    if not study.simulated:
        return "The films of this study are real radiographs of patients."
    simulated = [role for role in ROLES if study.data.source(role).reader == "phantom"]
    if len(simulated) == len(ROLES):
        return "Every film of this study is simulated: no patient stands behind any of them."
    return f"The {' and '.join(simulated)} films are simulated; the others are real radiographs of patients."


def film_row(study: Study, role: str, label: str, count: int = 8) -> FilmRow:
    """Some films of one role and label, drawn at random but always the same; without pixels if not publishable."""
    title = f"{role} · {label}"
    if not study.data.source(role).publishable:
        return FilmRow(title, None, origin(study, role))
    films = load_image_set(study, role, study.gan.resolution)
    rows = np.flatnonzero(films.manifest["label"].to_numpy() == label)
    chosen = _draw(rows, count, study.seed, "shown", role, label)
    return FilmRow(title, np.array(films.images[chosen]), origin(study, role))


def synthetic_row(study: Study, label: str, fold: str = "all", count: int = 8) -> FilmRow:
    """An unfiltered draw from a generator's films, always the same."""
    films = load_synthetic(study, label, fold, study.gan.resolution)
    chosen = _draw(np.arange(len(films)), count, study.seed, "shown", "synthetic", label, fold)
    return FilmRow(f"synthetic · {label}", np.array(films.images[chosen]), synthetic_origin(study))


def sample_row(study: Study, label: str, fold: str = "all") -> FilmRow:
    """The generator's sheet of films from random numbers that stay the same through its training."""
    sheet = np.asarray(PillowImage.open(study.results.generator(label, fold) / "samples.png"))
    size = study.gan.resolution
    lines, columns = sheet.shape[0] // size, sheet.shape[1] // size
    films = sheet.reshape(lines, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
    return FilmRow(f"synthetic · {label}, the same random numbers throughout", films, synthetic_origin(study))


def real_and_synthetic_rows(study: Study) -> list[FilmRow]:
    """For each label a row of hospital films and a row of synthetic ones."""
    return [row for label in LABELS for row in (film_row(study, "hospital", label), synthetic_row(study, label))]


def contact_sheet_rows(study: Study, label: str, count: int = 16) -> list[FilmRow]:
    """Synthetic films of one label, then the hospital's."""
    return [synthetic_row(study, label, count=count), film_row(study, "hospital", label, count)]


def augmented_row(study: Study, count: int = 8) -> FilmRow:
    """One public film as the classifier's augmentation shows it `count` times, the first time as it is."""
    import torch

    from cxrlib.classifier.network import as_pixels, augment

    title = "training · one film, augmented"
    if not study.data.training.publishable:
        return FilmRow(title, None, origin(study, "training"))
    settings = study.classifier
    film = torch.from_numpy(np.array(load_image_set(study, "training", settings.image_size).images[:1]))
    random = np.random.default_rng(seed_for(study.seed, "shown", "augmentation"))
    angles = random.uniform(-settings.rotation_degrees, settings.rotation_degrees, count)
    angles[0] = 0
    flipped = (np.arange(count) % 2 == 1) & settings.horizontal_flip
    pixels = augment(as_pixels(film.repeat(count, 1, 1)), torch.from_numpy(angles).float(), torch.from_numpy(flipped))
    return FilmRow(title, (pixels[:, 0] * 255).round().byte().numpy(), origin(study, "training"))


def nearest_pairs(study: Study, label: str, fold: str = "all", count: int = 6) -> dict[str, Any]:
    """The synthetic films that lie nearest to a hospital film, and those: what `film_sheets.film_pairs` draws."""
    synthetic = load_synthetic(study, label, fold, study.gan.resolution)
    hospital = load_image_set(study, "hospital", study.gan.resolution)
    closest = synthetic.manifest["nearest_distance"].astype(float).nsmallest(count)
    wanted = synthetic.manifest["nearest_image_id"].loc[closest.index].astype(str)
    row_of = {image_id: row for row, image_id in enumerate(hospital.manifest["image_id"].astype(str))}
    nearest = np.array(hospital.images[[row_of[image_id] for image_id in wanted]])
    publishable = study.data.hospital.publishable
    return {
        "films": np.array(synthetic.images[closest.index.to_numpy()]),
        "nearest": nearest if publishable else None,
        "distances": closest.tolist(),
        "titles": (f"synthetic · {label}, the nearest to any hospital film", "hospital · the film each is nearest to"),
        "origins": (synthetic_origin(study), origin(study, "hospital")),
    }


def outlined_films(study: Study) -> dict[str, Any]:
    """A negative and a positive film with what is known of lungs and opacities: for `film_sheets.annotated_films`.

    From the hospital, or from the first role whose films may be shown. Without such a role, films of the study's size
    that are empty, and titles that say so.
    """
    size = study.classifier.image_size
    role = next((name for name in reversed(ROLES) if study.data.source(name).publishable), None)
    if role is None:
        blank = np.full((2, size, size), 255, dtype=np.uint8)
        titles = [f"{label}: may not be shown" for label in LABELS]
        return {"films": blank, "lungs": None, "opacities": None, "titles": titles, "origin": "no film may be shown"}
    films = load_image_set(study, role, size)
    masks = {kind: load_masks(study, role, size, kind) for kind in ("lungs", "opacities")}
    rows = [_best_outlined(films.manifest["label"].to_numpy() == label, masks) for label in LABELS]
    return {
        "films": np.array(films.images[rows]),
        "lungs": None if masks["lungs"] is None else masks["lungs"][rows] > 0,
        "opacities": None if masks["opacities"] is None else masks["opacities"][rows] > 0,
        "titles": [f"{label} ({role})" for label in LABELS],
        "origin": origin(study, role),
    }


def _best_outlined(wanted: np.ndarray, masks: Mapping[str, np.ndarray | None]) -> int:
    """The film of a label whose known outlines are largest; the first one where none is known."""
    areas = np.where(wanted, 0.0, -1.0)
    for mask in masks.values():
        if mask is not None:
            areas += np.where(wanted, (np.asarray(mask) > 0).mean(axis=(1, 2)), 0.0)
    return int(np.argmax(areas))


def generator_logs(study: Study, fold: str = "all") -> dict[str, pd.DataFrame]:
    """The training log of each label's generator."""
    return {label: pd.read_csv(study.results.generator(label, fold) / "log.csv") for label in LABELS}


def classifier_logs(study: Study, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The training log of each arm's classifier (of a cross-fitted arm the first fold's)."""
    folders = {
        arm: study.results.classifier(arm, seed, study.classifier_folds(arm)[0]) for arm in study.classifier.arms
    }
    return {arm: pd.read_csv(folder / "log.csv") for arm, folder in folders.items()}


def film_counts(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What there is to say in prose about the films of each role, from the data records by role."""
    facts: dict[str, Any] = {}
    for role, record in records.items():
        films, by_label = record["images_used"], record["by_label"]
        facts |= {f"{role}_films": films, f"{role}_patients": record["patients"]}
        facts |= {f"{role}_{label}": by_label.get(label, 0) for label in LABELS}
        facts[f"{role}_positive_share"] = percent(by_label.get("positive", 0) / films)
    return facts


def grey_levels(study: Study, films_per_role: int = 200) -> dict[str, np.ndarray]:
    """Pixels of a fixed draw of films per role, uint8 (n, S, S)."""
    found = {}
    for role in ROLES:
        films = load_image_set(study, role, study.classifier.image_size)
        rows = _draw(np.arange(len(films)), films_per_role, study.seed, "grey levels", role)
        found[role] = np.array(films.images[rows])
    return found


def _draw(rows: np.ndarray, count: int, *purpose: Any) -> np.ndarray:
    chosen = np.random.default_rng(seed_for(*purpose)).choice(rows, min(count, len(rows)), replace=False)
    return np.sort(chosen)


def show(study: Study, name: str, figure: Figure) -> Image:
    """Keep a figure as `results/<study>/figures/<name>.png`, and hand it to the notebook."""
    buffer = io.BytesIO()
    with figures.style():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    with atomic_path(study.results.figure(name)) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return Image(data=buffer.getvalue(), format="png", width=round(figures.WIDTH_INCHES * 96))


def progress(what: str) -> Callable[..., None]:
    """A callback `(done, total, facts)` that keeps one line of the notebook up to date: how far, how long still.

    The line appears only once there is work to report, changes at most every second, and never becomes two.
    """
    state: dict[str, Any] = {"line": None, "first": None, "started": 0.0, "said": 0.0}

    def report(done: int, total: int, facts: Mapping[str, Any] | None = None) -> None:
        now = time.monotonic()
        if state["first"] is None:
            state["first"], state["started"] = done, now
        if now - state["said"] < 1 and done < total:
            return
        state["said"] = now
        text = HTML(f"{what}: {_so_far(done, total, done - state['first'], now - state['started'])}")
        if state["line"] is None:
            state["line"] = display(text, display_id=True)
        else:
            state["line"].update(text)

    return report


def _so_far(done: int, total: int, worked: int, seconds: float) -> str:
    if done >= total:
        return f"done ({seconds:,.0f} s)"
    left = f", about {seconds / worked * (total - done):,.0f} s left" if worked > 0 else ""
    return f"{100 * done / max(total, 1):.0f} %{left}"


def nearness(quality: pd.DataFrame) -> str:
    """Whether synthetic films are nearer to the hospital's than public ones; "clearly" only where intervals part.

    `quality` has a row per label, fold and comparison, with kid, kid_low and kid_high.
    """
    rows = quality.set_index(["label", "fold", "comparison"])[["kid", "kid_low", "kid_high"]].unstack("comparison")
    synthetic, public = (
        rows.xs(name, axis=1, level="comparison") for name in ("synthetic-hospital", "public-hospital")
    )
    if (synthetic["kid_high"] < public["kid_low"]).all():
        return "clearly nearer to the hospital's films than the public ones are, for every label and fold"
    if (synthetic["kid"] < public["kid"]).all():
        return "nearer to the hospital's films than the public ones are, but with intervals that overlap"
    return "not nearer to the hospital's films than the public ones are for every label and fold"


def glue_all(chapter: str, **values: Any) -> None:
    """Glue strings and whole numbers as `<chapter>.<name>`, for the prose of this chapter and the book's first page."""
    from myst_nb import glue

    for name, value in values.items():
        is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
        glue(f"{chapter}.{name}", f"{value:,}" if is_count else str(value), display=False)


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as `95.3 %`; `unknown` for NaN."""
    return "unknown" if pd.isna(fraction) else f"{100 * fraction:.{digits}f} %"


def with_interval(estimate: float, low: float, high: float) -> str:
    """Fractions as `95.3 (92–97)`, in per cent without the sign; a dash for NaN, no interval where it is NaN.

    A no-break space and a word joiner keep a narrow table from breaking it.
    """
    if pd.isna(estimate):
        return "–"
    inside = "" if pd.isna(low) else f"\u00a0({100 * low:.0f}–\u2060{100 * high:.0f})"
    return f"{100 * estimate:.1f}{inside}"
