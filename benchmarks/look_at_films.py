"""How well the look at a picture finds films that are lateral, turned, inverted, mirrored, several in one or empty.

`python benchmarks/look_at_films.py FILMS` measures on real films (a folder with public/, covidx8b/ and case_reports/)
and writes benchmarks/results/look_at_films.md; `--collection FOLDER` adds real lateral films. With `--fit`, it first
makes the average film anew (cxrlib/films/average_chest.csv); patients who were averaged are not measured.
"""

import argparse
import contextlib
import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from PIL import Image, ImageOps

from cxrlib.films import look, phantom
from cxrlib.films.geometry import rotation_matrix
from cxrlib.films.phantom_anatomy import phantom_patient
from cxrlib.films.scanner import SCANNERS, Scanner
from cxrlib.films.settings import LABELS, PhantomSource
from cxrlib.intake.header import Skipped
from cxrlib.intake.pixels import picture_of

HERE = Path(__file__).resolve().parent
MEASURED, PHANTOMS, PHANTOM_PX = 1000, 200, 64
ANY_USE = ("CC BY", "CC BY 3.0", "CC BY 4.0")
RIDGE = 1000.0

TEXT = """\
# A look at films

Public chest films, turned, inverted and so on by this program. `noted` is the share of films that a person is asked to
look at, `as what it is` the share with the right note. `as it is` are false alarms, except films that are indeed turned
or mirrored, and except laterals: of these, what is noted is found.

The average is of {averaged} films of `case_reports`, none of whose patients is counted here. The side of the heart was
learned from {phantoms} simulated films. Limits were set by false alarms on 700 other films of `public` (3 % unlike,
2 % mirrored), none by laterals.

Real laterals are those of a copy of the COVID-19 Image Data Collection (its table says L), from case reports of many
hospitals; more were not at hand, and none served to set a limit. Simulated ones are phantoms seen from the side, which
in 16 × 16 greys resemble a frontal film too much: dark lungs over a white belly in a black frame. So the header comes
first, and what is noted is no more than a help.

| films | change | number | noted | as what it is |
| :--- | :--- | ---: | ---: | ---: |
{table}
"""

T = Image.Transpose
CHANGES: dict[str, tuple[Callable[[Image.Image, Image.Image], Image.Image], tuple[str, ...]]] = {
    "turned by 90 degrees": (lambda film, _: film.transpose(T.ROTATE_90), (look.TURNED,)),
    "turned by 180 degrees": (lambda film, _: film.transpose(T.ROTATE_180), (look.TURNED,)),
    "turned by 270 degrees": (lambda film, _: film.transpose(T.ROTATE_270), (look.TURNED,)),
    "upside down": (lambda film, _: film.transpose(T.FLIP_TOP_BOTTOM), (look.TURNED,)),
    "inverted": (lambda film, _: ImageOps.invert(film), (look.INVERTED,)),
    "mirrored": (lambda film, _: film.transpose(T.FLIP_LEFT_RIGHT), (look.MIRRORED,)),
    "two films in one": (lambda film, other: _beside(film, other), (look.SEVERAL,)),
    "nearly empty": (lambda film, _: _small_on_black(film), (look.EMPTY, look.UNLIKE)),
}


class Row(NamedTuple):
    """A line of the table: shares of films that are noted, and that are noted as what they are."""

    films: str
    change: str
    number: int
    noted: float
    right: float = 0.0


def _beside(film: Image.Image, other: Image.Image) -> Image.Image:
    pair = Image.new("L", (2 * film.width, film.height))
    pair.paste(film, (0, 0))
    pair.paste(other.resize(film.size), (film.width, 0))
    return pair


def _small_on_black(film: Image.Image) -> Image.Image:
    empty = Image.new("L", film.size)
    empty.paste(film.resize((film.width // 4, film.height // 4)), (0, 0))
    return empty


def films_of(folder: Path, names: list[str]) -> Iterator[Image.Image]:
    for name in names:
        with Image.open(folder / name) as film:
            yield film.convert("L")


def sets(root: Path) -> dict[str, tuple[Path, list[str]]]:
    """{name: (folder, files)} of films to measure; `averaged` are those whose licence allows any use by name."""

    def table(name: str) -> list[dict[str, str]]:
        with open(root / name / "labels.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    shuffled = list(np.random.default_rng(0).permutation([row["file"] for row in table("public")]))
    cases = table("case_reports")
    averaged = [row for row in cases if row["license"].strip() in ANY_USE]
    patients = {row["patient_id"] for row in averaged}
    return {
        "averaged": (root / "case_reports", [row["file"] for row in averaged]),
        "public": (root / "public", shuffled[:MEASURED]),
        "covidx8b": (root / "covidx8b" / "test", sorted(path.name for path in (root / "covidx8b" / "test").iterdir())),
        "case_reports": (root / "case_reports", [row["file"] for row in cases if row["patient_id"] not in patients]),
    }


def laterals_of(collection: Path) -> list[Image.Image]:
    """The lateral radiographs of a checkout of the COVID-19 Image Data Collection that an import would take."""
    with open(collection / "metadata.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["view"] == "L" and row["modality"] == "X-ray"]
    films = []
    for name in dict.fromkeys(row["filename"] for row in rows):
        with contextlib.suppress(Skipped):
            films.append(picture_of(collection / "images" / name))
    return films


def phantoms(count: int) -> Iterator[Image.Image]:
    """So many simulated films of each scanner, half of them positive."""
    for name in ("public", "hospital"):
        half = count // 2
        source = PhantomSource(reader="phantom", scanner=name, negative_patients=half, positive_patients=half)
        rows = phantom.phantom_manifest(source, "training", 0).to_dict("records")[:count]
        yield from (Image.fromarray(phantom.phantom_film(source, 0, row, PHANTOM_PX).image) for row in rows)


def lateral_phantoms(count: int) -> Iterator[Image.Image]:
    """So many simulated patients of each label seen from the side, without arms and shoulders, on both scanners."""

    def side_on(_: Scanner, random: np.random.Generator) -> phantom.Pose:
        return phantom.Pose(rotation_matrix(90 + random.normal(0, 3), 0, 0), random.normal(0, [0.6, 0, 0.7]))

    for number in range(count):
        for label in LABELS:
            patient = phantom_patient(label, 0, "lateral", number)
            raised = replace(patient, soft=patient.soft[:2], bones=())
            with mock.patch.object(phantom, "draw_pose", side_on):
                film = phantom.render(raised, SCANNERS[("public", "hospital")[number % 2]], PHANTOM_PX, 0, number)
            yield Image.fromarray(film.image)


def fit(folder: Path, names: list[str]) -> None:
    """Write the average film, and the weights (ridge regression) that tell a phantom from its mirror image."""
    average = np.stack([look.reduced(film) for film in films_of(folder, names)]).mean(0)
    average = (average - average.mean()) / average.std()
    small = np.stack([look.reduced(film) for film in phantoms(PHANTOMS)])
    sides = (small - small[:, :, ::-1])[:, :, : look.SIDE // 2].reshape(len(small), -1)
    weights = np.linalg.solve(2 * sides.T @ sides + RIDGE * np.eye(sides.shape[1]), 2 * sides.sum(0))
    with open(Path(look.__file__).with_name(look.TABLE_FILE), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for name, rows in (("average", average), ("side", weights.reshape(look.SIDE, -1))):
            writer.writerows([name, *(f"{value:.4f}" for value in row)] for row in rows)


def measured(name: str, films: list[Image.Image], changed: bool = True) -> Iterator[Row]:
    """Films as they are, by note; then, if they are upright chests, changed in every way."""
    found = [look.look(film) for film in films]
    yield Row(name, "as it is", len(films), share(found))
    for kind in (look.TURNED, look.INVERTED, look.MIRRORED, look.SEVERAL, look.UNLIKE, look.EMPTY):
        yield Row(name, f"as it is: {kind}", len(films), share(found, (kind,)))
    for change, (make, expected) in CHANGES.items() if changed else ():
        found = [look.look(make(film, other)) for film, other in zip(films, films[1:] + films[:1], strict=True)]
        yield Row(name, change, len(films), share(found), share(found, expected))


def share(found: list[list[str]], kinds: tuple[str, ...] = ()) -> float:
    """The share of films with one of these notes, or with any."""
    return float(np.mean([bool(set(notes) & set(kinds or notes)) for notes in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path)
    parser.add_argument("--collection", type=Path, help="a checkout of the COVID-19 Image Data Collection")
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    places = sets(asked.films)
    averaged = places.pop("averaged")
    if asked.fit:
        fit(*averaged)
    rows = [row for name, place in places.items() for row in measured(name, list(films_of(*place)))]
    if asked.collection:
        rows += measured("real laterals", laterals_of(asked.collection), changed=False)
    rows += measured("simulated laterals", list(lateral_phantoms(PHANTOMS // 2)), changed=False)
    table = "\n".join(
        f"| {row.films} | {row.change} | {row.number:,} | {row.noted:.1%} | {f'{row.right:.1%}' if row.right else ''} |"
        for row in rows
    )
    text = TEXT.format(averaged=len(averaged[1]), phantoms=2 * PHANTOMS, table=table)
    (HERE / "results" / "look_at_films.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
