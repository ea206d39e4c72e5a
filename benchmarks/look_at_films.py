"""How well the look at a picture finds films that are turned, inverted, mirrored, several in one or empty.

`python benchmarks/look_at_films.py FILMS` measures on real films (a folder with public/, covidx8b/ and case_reports/)
and writes benchmarks/results/look_at_films.md. With `--fit`, it first makes the average film of public/ anew
(cxrlib/intake/average_chest.csv); films that were averaged are not measured.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cxrlib.intake import look

HERE = Path(__file__).resolve().parent
AVERAGED, MEASURED = 4000, 1000
RIDGE = 1000.0

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
    def table(name: str) -> list[str]:
        with open(root / name / "labels.csv", newline="", encoding="utf-8") as file:
            return [row["file"] for row in csv.DictReader(file)]

    shuffled = list(np.random.default_rng(0).permutation(table("public")))
    return {
        "averaged": (root / "public", shuffled[:AVERAGED]),
        "public": (root / "public", shuffled[AVERAGED : AVERAGED + MEASURED]),
        "covidx8b": (root / "covidx8b" / "test", sorted(path.name for path in (root / "covidx8b" / "test").iterdir())),
        "case_reports": (root / "case_reports", table("case_reports")),
    }


def fit(folder: Path, names: list[str]) -> None:
    """Write the average film, and the weights (ridge regression) that tell a film from its mirror image."""
    small = np.stack([look.reduced(film) for film in films_of(folder, names)])
    average = small.mean(0)
    average = (average - average.mean()) / average.std()
    sides = (small - small[:, :, ::-1])[:, :, : look.SIDE // 2].reshape(len(small), -1)
    weights = np.linalg.solve(2 * sides.T @ sides + RIDGE * np.eye(sides.shape[1]), 2 * sides.sum(0))
    with open(Path(look.__file__).with_name(look.TABLE_FILE), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for name, rows in (("average", average), ("side", weights.reshape(look.SIDE, -1))):
            writer.writerows([name, *(f"{value:.4f}" for value in row)] for row in rows)


def measure(places: dict[str, tuple[Path, list[str]]]) -> Iterator[tuple[str, str, int, float, float]]:
    """(films, change, number, share noted at all, share noted as what it is); `as it is` first: false alarms."""
    for name, (folder, names) in places.items():
        films = list(films_of(folder, names))
        for change, (make, expected) in {"as it is": (lambda film, _: film, ()), **CHANGES}.items():
            found = [look.look(make(film, other)) for film, other in zip(films, films[1:] + films[:1], strict=True)]
            right = np.mean([bool(set(notes) & set(expected)) for notes in found])
            yield name, change, len(films), float(np.mean([bool(notes) for notes in found])), float(right)
        yield from _noted_as(name, films)


def _noted_as(name: str, films: list[Image.Image]) -> Iterator[tuple[str, str, int, float, float]]:
    """False alarms by kind, among films as they are."""
    found = [look.look(film) for film in films]
    for kind in (look.TURNED, look.INVERTED, look.MIRRORED, look.SEVERAL, look.UNLIKE, look.EMPTY):
        yield name, f"as it is, noted: {kind}", len(films), float(np.mean([kind in notes for notes in found])), 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path)
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    places = sets(asked.films)
    averaged = places.pop("averaged")
    if asked.fit:
        fit(*averaged)
    lines = [
        "# A look at films",
        "",
        f"Public chest films, turned, inverted and so on by this program. The average is of {AVERAGED:,} films of",
        "`public`, none of which is counted here. `noted` is the share of films that a person is asked to look at,",
        "`as what it is` the share with the right note. `as it is` are false alarms, except films that",
        "are indeed turned or mirrored. No lateral film was at hand: how many of them are noted is not known.",
        "",
        "| films | change | number | noted | as what it is |",
        "| :--- | :--- | ---: | ---: | ---: |",
    ]
    for name, change, number, noted, right in measure(places):
        lines.append(f"| {name} | {change} | {number:,} | {noted:.1%} | {f'{right:.1%}' if right else ''} |")
    (HERE / "results" / "look_at_films.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
