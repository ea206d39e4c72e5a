"""Whether the synthetic films are new, clean and plausible: what Chapter 3 shows of it, and says."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrlib.chapters.exhibits import film_row, row_of_synthetic, synthetic_row
from cxrlib.chapters.reading.nearness_figures import NearnessPanel, lungs_beside_real
from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import NOT_SHOWN
from cxrlib.chapters.style import note
from cxrlib.chapters.words import origin, percent, synthetic_origin
from cxrlib.files import read_json
from cxrlib.films.images import load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.generators.lung_measures import load_anatomy
from cxrlib.study import Study

# The lowest share of planted copies that must be caught, of each kind.
CAUGHT = 0.95
MIDDLE = 0.95
LUNG_MEASURES = {"area": "lung area, share of the film", "left_right_ratio": "left lung area over right"}


def nearest_rows(study: Study, label: str, fold: str = "all", count: int = 6) -> list[FilmRow]:
    """The synthetic films that come nearest to a training film by either distance, as shares of its threshold; below
    each the nearest training film by pixels, and by features.

    Where the hospital's films may not be shown, neither are flagged synthetic films: they may be copies.
    """
    record = _record(study, label, fold)
    shown = study.publishable("hospital")
    synthetic = load_synthetic(study, label, fold, study.gan.resolution, flagged=shown)
    table = synthetic.manifest.reset_index(drop=True)
    shares = pd.DataFrame({"pixels": table["nearest_distance"] / record["pixel_threshold"],
                           "features": table["feature_distance"] / record["feature_threshold"]})  # fmt: skip
    rows = shares.min(axis=1).nsmallest(count).index.to_numpy()
    title = f"synthetic · {label}, the nearest to any training film"
    films = row_of_synthetic(study, title, np.array(synthetic.images[rows]))
    if not shown:
        return [
            films,
            FilmRow(f"hospital · the films they are nearest to: {NOT_SHOWN}", None, origin(study, "hospital")),
        ]
    hospital = load_image_set(study, "hospital", study.gan.resolution)
    row_of = {image_id: row for row, image_id in enumerate(hospital.manifest["image_id"].astype(str))}
    flags = ["flagged" if flag else "" for flag in table["flagged"][rows]]
    found = [FilmRow(films.title, films.films, films.origin, flags)]
    for space, column, distance in (
        ("pixels", "nearest_image_id", "nearest_distance"),
        ("features", "nearest_feature_id", "feature_distance"),
    ):
        nearest = hospital.images[[row_of[image_id] for image_id in table[column][rows].astype(str)]]
        captions = [f"distance {value:.2f}" for value in table[distance][rows]]
        found.append(
            FilmRow(f"hospital · nearest by {space}", np.array(nearest), origin(study, "hospital"), captions)
        )  # fmt: skip
    return found


def nearness_panels(study: Study, fold: str = "all") -> list[list[NearnessPanel]]:
    """For each label the distances by pixels and by features, of synthetic and of real films, with the thresholds."""
    rows = []
    for label in LABELS:
        manifest = load_synthetic(study, label, fold, study.gan.resolution, flagged=True).manifest
        real, record = pd.read_csv(study.results.real_distances(label, fold)), _record(study, label, fold)
        spaces = {"pixel": manifest["nearest_distance"], "feature": manifest["feature_distance"]}
        rows.append(
            [
                NearnessPanel(
                    label, made.to_numpy(), real[f"{space}_distance"].to_numpy(), record[f"{space}_threshold"]
                )
                for space, made in spaces.items()
            ]
        )
    return rows


def _record(study: Study, label: str, fold: str) -> dict[str, Any]:
    return read_json(study.results.synthetic_record(label, fold))


def lung_measures(study: Study, fold: str = "all") -> pd.DataFrame | None:
    """Lung measures of the hospital's films and of a fold's synthetic ones, without names; None without masks."""
    measures = load_anatomy(study)
    if measures is None:
        return None
    chosen = (measures["origin"] == "real") | (measures["fold"] == fold)
    return measures.loc[chosen, ["origin", "label", "area", "left_right_ratio"]].reset_index(drop=True)


def lung_figure(study: Study) -> Figure:
    """Lungs of synthetic films beside real ones, or a note where none were measured."""
    measures = lung_measures(study)
    if measures is None:
        return note("the hospital's films have no lung masks, or too few", synthetic_origin(study))
    return lungs_beside_real(measures, LUNG_MEASURES, synthetic_origin(study))


def generated_facts(memorisation: pd.DataFrame, leaks: pd.DataFrame, anatomy: pd.DataFrame) -> dict[str, str]:
    """Sentences of Chapter 3, from the three tables of the synthetic films: flags, control, leaks, lungs."""
    return {
        "flags": _said_of_flags(memorisation),
        "control": _said_of_control(memorisation),
        "leaks": _said_of_leaks(leaks),
        "lungs": _said_of_lungs(anatomy),
        "flagged": f"{memorisation['flagged'].sum():,}",
        "made": f"{memorisation['films'].sum():,}",
    }


def _said_of_flags(table: pd.DataFrame) -> str:
    flagged, films = int(table["flagged"].sum()), int(table["films"].sum())
    real = table["real_flagged"].sum() / table["real_films"].sum()
    digits = 2 if 0 < flagged / films < 0.0005 else 1
    said = (
        f"{flagged:,} of {films:,} synthetic films {'is' if flagged == 1 else 'are'} flagged "
        f"({percent(flagged / films, digits)}); of real films of other patients {percent(real)} would be."
    )
    more = table[table["flag_low"] > table["real_high"]]
    if len(more):
        sets = ", ".join(f"{row.label} {row.fold}" for row in more.itertuples())
        return (
            f"{said} Flagged more often than real films, with intervals that do not overlap: {sets}. Films were copied."
        )
    fewer = (table["flag_rate"] <= table["real_rate"]).all()
    nearer = "come no nearer to the training films than other patients' films do"
    return f"{said} Synthetic films {nearer}." if fewer else f"{said} No set's interval lies above that of real films."


def _said_of_control(table: pd.DataFrame) -> str:
    worst = table.loc[table["caught_least_rate"].idxmin()]
    said = f"Of {table['planted'].sum():,} planted copies {table['caught'].sum():,} were caught"
    if worst["caught_least_rate"] >= CAUGHT:
        return f"{said}, and at least {percent(worst['caught_least_rate'], 0)} of every kind in every set."
    return (
        f"{said}; but only {percent(worst['caught_least_rate'], 0)} of those {worst['caught_least']} "
        f"({worst['label']}, {worst['fold']}): do not rely on the search there."
    )


def _said_of_leaks(table: pd.DataFrame) -> str:
    leaking = table[table["excess_low"] > 0]
    if leaking.empty:
        most = table["synthetic_rate"].max()
        return (
            "No set of synthetic films has traces of augmentation or of the network clearly more often than the "
            f"hospital's films; the largest share is {percent(most)}."
        )
    found = "; ".join(
        f"{row.label} films of {row.fold}, {row.leak} on {percent(row.synthetic_rate)}, "
        f"against {percent(row.real_rate)} of real films"
        for row in leaking.itertuples()
    )
    return f"Some sets have a fault more often than the hospital's films: {found}."


def _said_of_lungs(table: pd.DataFrame) -> str:
    if table.empty:
        return "The hospital's films have no lung masks, or too few, so nothing can be said about lungs."
    worst = table.loc[table["outside_rate"].idxmax()]
    expected = 1 - MIDDLE
    judged = "more than" if worst["outside_low"] > expected else "not clearly more than"
    share = f"{percent(worst['outside_rate'])} ({percent(worst['outside_low'])} to {percent(worst['outside_high'])})"
    return (
        "The networks outline lungs of patients they have not seen with a Dice coefficient of "
        f"{table['dice'].iloc[0]:.2f}. In the worst set {share} of the films lie outside the middle "
        f"{percent(MIDDLE, 0)} of real films ({worst['measure']}): {judged} the {percent(expected, 0)} of real films "
        "that do."
    )


def contact_sheet_rows(study: Study, label: str, count: int = 16) -> list[FilmRow]:
    """Synthetic films of one label, then the hospital's."""
    return [synthetic_row(study, label, count=count), film_row(study, "hospital", label, count)]
