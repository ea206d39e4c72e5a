"""How many films the guard's search misses, and how many it sees that are not there, for each kind of change.

Private films are the case reports, others the public films, both real (CXR_DATA). Of every kind, pages are made that
show one changed film among three others; missed is a page on which the film was not found, a false alarm a page on
which one was found that isn't there.

    python benchmarks/guard_recall.py
    python benchmarks/guard_recall.py --films 30 --sizes 64

Writes benchmarks/results/guard.md, cxrlib/publishing/limits.json, from which `cxr publish` tells the rates, and the
sentence of README. Started again at the same commit, it goes on after the last kind of change that is measured; what
was measured at other commits stays until its turn comes, and says so.
"""

import argparse
import io
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from cxrlib.files import read_json, write_json, write_text
from cxrlib.films.decoding import decode
from cxrlib.films.search.pictures import FilmIndex
from cxrlib.publishing import limits
from cxrlib.publishing.guard_pictures import views_of
from cxrlib.publishing.limits import MEASURED
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY

README, RESULT = REPOSITORY / "README.md", REPOSITORY / "benchmarks" / "results" / "guard.md"
LARGE_PIXELS = 256
TITLE = """# What the guard's search for films misses

Made by `python benchmarks/guard_recall.py` ({commits}). {private_films} real films are private.
Each page shows four films of 170 pixels; on half of the pages one of them is a private film, changed as the line says,
on the others all four are other people's films, changed alike. A false alarm is a page on which a film was seen that
isn't there."""
SHOWN_PIXELS, GAP = 170, 14
PRIVATE_STEP, OTHERS_STEP = 2, 60


def read_films(folder: str, step: int, size: int) -> np.ndarray:
    """Every `step`-th film of a folder of real films, uint8 (N, size, size)."""
    root = Path(os.environ["CXR_DATA"]) / folder
    files = pd.read_csv(root / "labels.csv")["file"][::step]
    return np.stack([decode(root / file, (size,))[0] for file in files])


def resized(film: np.ndarray, width: int, height: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(film).resize((width, height), how))


def cut(film: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    side = round(share * len(film))
    top, left = random.integers(0, len(film) - side + 1, 2)
    return film[top : top + side, left : left + side]


def turned(film: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(film).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=0))


def coloured(name: str) -> Callable[..., np.ndarray]:
    return lambda film, random, other: (255 * mpl.colormaps[name](film)[..., :3]).astype(np.uint8)


def overlaid(film: np.ndarray, random: np.random.Generator, other: np.ndarray) -> np.ndarray:
    """A heat map over the film, half transparent, as explanations of classifiers are shown."""
    side, spots = len(film), np.zeros(film.shape)
    for row, column in random.integers(side // 5, 4 * side // 5, (3, 2)):
        spots[row, column] = 1
    heat = gaussian_filter(spots, side / 7)
    heat = mpl.colormaps["jet"](heat / heat.max())[..., :3]
    return (127.5 * heat + 0.5 * film[..., None]).astype(np.uint8)


def written(film: np.ndarray, random: np.random.Generator, other: np.ndarray) -> np.ndarray:
    image = Image.fromarray(film)
    drawing = ImageDraw.Draw(image)
    for line in range(4):
        drawing.text((4, 4 + line * len(film) // 4), "positive p = 0.93", fill=255)
    return np.asarray(image)


def in_pieces(film: np.ndarray, random: np.random.Generator, other: np.ndarray) -> np.ndarray:
    third = len(film) // 3
    parts = [film[r * third : (r + 1) * third, c * third : (c + 1) * third] for r in range(3) for c in range(3)]
    order = random.permutation(9)
    return np.vstack([np.hstack([parts[order[3 * row + column]] for column in range(3)]) for row in range(3)])


def recompressed(film: np.ndarray, random: np.random.Generator, other: np.ndarray) -> np.ndarray:
    with io.BytesIO() as file:
        Image.fromarray(film).save(file, "JPEG", quality=30)
        return np.asarray(Image.open(file))


def blended(share: float) -> Callable[..., np.ndarray]:
    return lambda film, random, other: (share * film + (1 - share) * other).astype(np.uint8)


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator, np.ndarray], np.ndarray]] = {
    "as it is": lambda film, random, other: film,
    "mirrored": lambda film, random, other: film[:, ::-1],
    "upside down": lambda film, random, other: film[::-1],
    "turned by 180°": lambda film, random, other: film[::-1, ::-1],
    "turned by 90°": lambda film, random, other: np.rot90(film),
    "inverted": lambda film, random, other: 255 - film,
    "inverted and mirrored": lambda film, random, other: 255 - film[:, ::-1],
    "brighter (gamma 0.5)": lambda film, random, other: (255 * (film / 255) ** 0.5).astype(np.uint8),
    "JPEG of quality 30": recompressed,
    "blurred": lambda film, random, other: gaussian_filter(film, len(film) / 128),
    "noise": lambda film, random, other: np.clip(film + random.normal(0, 12, film.shape), 0, 255).astype(np.uint8),
    "8 grey levels": lambda film, random, other: film // 32 * 32,
    "4 grey levels": lambda film, random, other: film // 64 * 64,
    "colour map viridis": coloured("viridis"),
    "colour map jet": coloured("jet"),
    "written over": written,
    "heat map over it": overlaid,
    "turned by 3°": lambda film, random, other: turned(film, 3),
    "turned by 5°": lambda film, random, other: turned(film, 5),
    "turned by 10°": lambda film, random, other: turned(film, 10),
    "wider by a fifth": lambda film, random, other: resized(film, round(1.2 * len(film)), len(film)),
    "higher by a third": lambda film, random, other: resized(film, len(film), round(1.33 * len(film))),
    "crop of 75 % of the side": lambda film, random, other: cut(film, 0.75, random),
    "crop of 50 % of the side": lambda film, random, other: cut(film, 0.5, random),
    "crop of 35 % of the side": lambda film, random, other: cut(film, 0.35, random),
    "cut into nine, shuffled": in_pieces,
    "coarse (32 × 32)": lambda film, random, other: np.kron(resized(film, 32, 32), np.ones((8, 8), np.uint8)),
    "blend, 70 %": blended(0.7),
    "blend, 50 %": blended(0.5),
}  # fmt: skip


def colour(picture: np.ndarray) -> np.ndarray:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def page(films: list[np.ndarray]) -> np.ndarray:
    """Films beside each other on white, uint8 (H, W, 3), none changed in its proportions."""
    shown = []
    for film in films:
        factor = SHOWN_PIXELS / max(film.shape[:2])
        shown.append(colour(resized(film, round(factor * film.shape[1]), round(factor * film.shape[0]))))
    made = np.full((SHOWN_PIXELS + 2 * GAP, len(films) * (SHOWN_PIXELS + GAP) + GAP, 3), 255, np.uint8)
    for number, film in enumerate(shown):
        left = GAP + number * (SHOWN_PIXELS + GAP)
        made[GAP : GAP + film.shape[0], left : left + film.shape[1]] = film
    return made


def pages(kind: str, private: np.ndarray, others: np.ndarray, count: int) -> Iterator[tuple[int | None, np.ndarray]]:
    """(row of the private film shown or None, page)."""
    random = np.random.default_rng(7)
    change = KINDS[kind]
    for row in random.permutation(len(private))[:count]:
        plain = others[random.permutation(len(others))[:4]]
        made = [change(private[row], random, plain[0]), *plain[1:]]
        yield int(row), page([made[place] for place in random.permutation(4)])
        yield None, page([change(film, random, plain[0]) for film in others[random.permutation(len(others))[:4]]])


def measure(size: int, count: int, done: set[str]) -> Iterator[dict]:
    """For each kind of change not done yet: films shown and missed, pages of others' films and false alarms, seconds a
    page."""
    private = read_films("case_reports", PRIVATE_STEP, size)
    big = read_films("case_reports", PRIVATE_STEP, LARGE_PIXELS)
    others = read_films("public", OTHERS_STEP, LARGE_PIXELS)
    index = FilmIndex(private)
    for kind in (kind for kind in KINDS if kind not in done):
        started = time.perf_counter()
        counted = dict.fromkeys(("shown", "missed", "pages", "false"), 0)
        for row, picture in pages(kind, big, others, count):
            seen = {match.film for view in views_of(Image.fromarray(picture)) for match in index.search(view)}
            counted["shown"] += row is not None
            counted["missed"] += row is not None and row not in seen
            counted["pages"] += 1
            counted["false"] += bool(seen - {row})
        yield {"kind": kind, **counted, "seconds": round((time.perf_counter() - started) / counted["pages"], 1)}


def table(measured: dict) -> str:
    sizes = {size: {row["kind"]: row for row in found["kinds"]} for size, found in measured["sizes"].items()}
    names = ["change", *(f"missed at {size} px" for size in sizes), *(f"false alarms at {size} px" for size in sizes)]
    lines = [f"| {' | '.join(names)} |", f"| --- |{' ---: |' * 2 * len(sizes)}"]
    for kind in KINDS:
        rows = [of_size.get(kind) for of_size in sizes.values()]
        missed = [f"{row['missed']} of {row['shown']}" if row else "not measured" for row in rows]
        false = [f"{row['false']} of {row['pages']}" if row else "not measured" for row in rows]
        lines.append(f"| {' | '.join([kind, *missed, *false])} |")
    return "\n".join(lines)


def report(measured: dict) -> str:
    commits = []
    for size, of_size in measured["sizes"].items():
        counted = Counter((row["commit"][:7], row["date"]) for row in of_size["kinds"])
        told = [f"{number} kinds {date} at commit {commit}" for (commit, date), number in counted.items()]
        commits.append(f"films kept at {size} pixels a side: {', '.join(told)}")
    return f"{TITLE.format(commits='; '.join(commits), **measured)}\n\n{table(measured)}\n"


def write_all(measured: dict) -> None:
    write_json(MEASURED, measured)
    write_text(RESULT, report(measured))
    limits.measured.cache_clear()
    readme = README.read_text(encoding="utf-8")
    write_text(README, re.sub(r"^On real films the search .*$", lambda _: limits.summary(), readme, flags=re.M))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    arguments = parser.parse_args()
    measured = read_json(MEASURED) if MEASURED.exists() else {"sizes": {}}
    now = {"commit": provenance(REPOSITORY)["commit"], "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    measured["private_films"] = len(read_films("case_reports", PRIVATE_STEP, LARGE_PIXELS))
    for size in arguments.sizes:
        found = measured["sizes"].setdefault(str(size), {"kinds": []})
        rows = {row["kind"]: row for row in found["kinds"]}
        done = {
            kind for kind, row in rows.items() if row["commit"] == now["commit"] and row["shown"] >= arguments.films
        }
        for row in measure(size, arguments.films, done):
            print(size, row, flush=True)
            rows[row["kind"]] = row | now
            found["kinds"] = [rows[kind] for kind in KINDS if kind in rows]
            write_all(measured)


if __name__ == "__main__":
    main()
