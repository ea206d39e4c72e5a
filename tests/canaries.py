"""A study whose private films carry known patterns and known names, and a search for both that shares no code with
the guard."""

import base64
import gzip
import html
import io
import json
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.signal import fftconvolve

from cxrlib.study import Study, load_study

SONG = "kanari"
PATTERNS, CELLS, FILM_PIXELS = 3, 8, 96
TEMPLATE = 16
SMALLEST_PIXELS = 32
LEAST_FIT = 0.8
TEXTS = {".html", ".js", ".css", ".json", ".txt", ".ipynb", ".md", ".svg", ".xml", ".csv"}


def pattern(number: int, side: int) -> np.ndarray:
    """A random grid of cells, smoothed, float (side, side)."""
    grid = np.random.default_rng(1000 + number).integers(0, 2, (CELLS, CELLS)) * 255.0
    image = Image.fromarray(grid.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=float)


def make_films(folder: Path, per_label: int = 12) -> None:
    """Films with a pattern in the middle, two of them in a folder of their own, and one file that can't be read."""
    random, rows = np.random.default_rng(5), []
    for index in range(2 * per_label):
        film = np.full((FILM_PIXELS, FILM_PIXELS), 128.0) + random.normal(0, 10, (FILM_PIXELS, FILM_PIXELS))
        film[12:-12, 12:-12] += 0.5 * (pattern(index % PATTERNS, FILM_PIXELS - 24) - 128)
        file = f"{'Kanari-ward/' if index < 2 else ''}kanari_{index:03d}_film.png"
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(film, 0, 255).astype(np.uint8)).save(path)
        rows.append((file, f"Kanari {index:03d}", ("negative", "positive")[index >= per_label]))
    (folder / "kanari_lost.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    rows.append(("kanari_lost.png", "Kanari 999", "negative"))
    pd.DataFrame(rows, columns=["file", "patient_id", "label"]).to_csv(folder / "labels.csv", index=False)


def make_study(root: Path, write_study_in) -> Study:
    make_films(root / "films")
    hospital = {"reader": "folder", "folder": str(root / "films"), "publishable": False}
    return load_study(
        write_study_in(
            root,
            data={"hospital": hospital},
            classifier={
                "arms": ["baseline", "synthetic"],
                "network": "shufflenet_v2_x0_5",
                "doses": [],
                "image_size": 64,
            },
        )
    )


def names_found(folder: Path) -> list[str]:
    """Files that hold the song of the canaries, however it is written."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        heard = [str(path.relative_to(folder)), raw.decode("latin-1"), raw.replace(b"\0", b"").decode("latin-1")]
        if path.suffix in TEXTS:
            text = raw.decode("utf-8", "replace")
            heard += [html.unescape(text), urllib.parse.unquote(text), re.sub(r"<[^<>]*>", "", text)]
        if raw[:2] == b"\x1f\x8b":
            heard.append(gzip.decompress(raw).decode("latin-1"))
        for picture in _pictures(path):
            notes = {**picture.info, **getattr(picture, "text", {}), **picture.getexif()}
            heard += [str(note) for note in notes.items()]
        if any(SONG in text.lower() for text in heard):
            found.append(str(path.relative_to(folder)))
    return found


def patterns_found(folder: Path) -> list[str]:
    """Files with a picture in which a pattern, or three quarters of one, is seen at any scale."""
    found, known = [], {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for picture in _pictures(path):
            grey = np.asarray(picture.convert("L"), dtype=float)
            key = (grey.shape, grey.tobytes())
            if key not in known:
                known[key] = _best_fit(grey) >= LEAST_FIT
            if known[key]:
                found.append(str(path.relative_to(folder)))
                break
    return found


def _pictures(path: Path) -> Iterator[Image.Image]:
    if path.suffix in (".png", ".jpg", ".jpeg", ".gif", ".webp"):
        yield Image.open(path)
    if path.suffix == ".ipynb":
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                for kind, data in output.get("data", {}).items():
                    if kind in ("image/png", "image/jpeg"):
                        yield Image.open(io.BytesIO(base64.b64decode("".join(data))))
    if path.suffix in (".html", ".svg", ".css"):
        for data in re.findall(r"data:image/(?:png|jpeg|gif);base64,([A-Za-z0-9+/=]+)", path.read_text("utf-8")):
            yield Image.open(io.BytesIO(base64.b64decode(data)))


def _best_fit(picture: np.ndarray) -> float:
    """The highest correlation of a pattern, or of its inner three quarters, with any place at any scale."""
    wholes = [pattern(number, 4 * TEMPLATE) for number in range(PATTERNS)]
    parts = [part for whole in wholes for part in (whole, whole[8:56, 8:56])]
    templates = [_resized(part, TEMPLATE, TEMPLATE) for part in parts]
    best, side = 0.0, float(SMALLEST_PIXELS)
    while side <= min(picture.shape):
        factor = TEMPLATE / side
        level = _resized(picture, round(picture.shape[0] * factor), round(picture.shape[1] * factor))
        best = max([best, *(_correlation(level, template) for template in templates)])
        side *= 1.1
    return best


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(picture.astype(np.float32)).resize((max(width, TEMPLATE), max(height, TEMPLATE)))
    return np.asarray(image, dtype=float)


def _correlation(picture: np.ndarray, template: np.ndarray) -> float:
    """The highest normalised cross-correlation of a template with a picture, where the picture is not plain."""
    wanted = (template - template.mean())[::-1, ::-1]
    ones = np.ones_like(template)
    total = fftconvolve(picture, ones, "valid")
    spread = fftconvolve(picture**2, ones, "valid") - total**2 / template.size
    fit = fftconvolve(picture, wanted, "valid") / np.sqrt(np.maximum(spread, 100.0 * template.size) * (wanted**2).sum())
    return float(np.abs(fit).max())
