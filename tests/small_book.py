"""A study with made-up results and chapters, small enough to build its book in a test."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cxrlib.artifacts import CHAPTERS
from cxrlib.chapters.run import run_chapter
from cxrlib.files import write_json, write_text
from cxrlib.publishing.book import build_book
from cxrlib.study import Study, load_study

ANSWER = "Synthetic films changed recall on the hospital's films by 12.5 points (95 % interval 3.0 to 22.0)."
CAPTION = "Recall per arm; simulated films."

PLOT = """\
import matplotlib.pyplot as plt
from cxrlib.study import load_study

figure, axes = plt.subplots(figsize=(4, 2))
axes.plot([0, 1], [0, load_study(study).classifier.seeds])
plt.show()
"""
GLUE = """\
from myst_nb import glue

glue("doubled_films", 2 * films, display=False)
"""
SHOWN = """\
import pandas as pd
from IPython.display import Image

answers = {"model": ["baseline"] * 2, "class": ["positive", "negative"], "recall (%)": ["40.2\\u00a0(3–92)", "=7"]}
pd.DataFrame(answers).set_index(["model", "class"])
"""
TABLE = {"caption": "How good they are.", "name": "tbl-answers", "source": "table2", "where": {"role": "hospital"}}
EXPLORED = {
    "kind": "threshold", "positives": 4, "negatives": 6,
    "arms": {"baseline": {"found": [4, 3, 0], "alarms": [6, 1, 0], "colour": "#222222", "dashes": []}},
}  # fmt: skip
TWIN = f"""\
import io

drawing = io.BytesIO()
figure.savefig(drawing, format="png")
notes = {{"finding": "Three of four are found.", "interactive": {EXPLORED}}}
Image(data=drawing.getvalue(), format="png", metadata=notes)
"""
RUNGS = {
    "kind": "ladder", "metrics": [["roc_auc", "area under ROC"], ["accuracy", "accuracy"]], "plain": ["roc_auc"],
    "arms": [{"arm": "baseline", "rung": "nothing", "colour": "#222222",
              "values": {"roc_auc": [0.75, 0.7, 0.8], "accuracy": [81.0, 70.0, 90.0]}}],
}  # fmt: skip
CLIMBED = f"""\
drawing = io.BytesIO()
figure.savefig(drawing, format="png")
Image(data=drawing.getvalue(), format="png", metadata={{"interactive": {RUNGS}}})
"""
TRACED = {
    "files": [{"file": "tables/table2.csv", "where": "role = hospital"}],
    "numbers": {"40.2": ["arm: baseline · recall_positive: 0.402"]},
}
SAID = f"""\
from IPython.display import Markdown

pieces = [{{"text": "Of these, "}}, {{"text": "40.2 % in 3 runs", "trace": {TRACED}}}, {{"text": " are found."}}]
Markdown("".join(piece["text"] for piece in pieces), metadata={{"pieces": pieces}})
"""
ON_MAP = {
    "kind": "map", "figure": "fig-map", "panels": [[0, 0, 0.5, 1]], "cells": 2,
    "films": ["training film, negative", "", "", "training film, positive"], "size": 60, "step": 66, "heading": 28,
}  # fmt: skip
MAPPED = f"""\
from PIL import Image as PillowImage

drawing = io.BytesIO()
PillowImage.new("L", (132, 160)).save(drawing, format="png")
Image(data=drawing.getvalue(), format="png", metadata={{"interactive": {ON_MAP}}})
"""
PROSE = r"""Twice the films are {glue:text}`doubled_films`, as in {cite}`schaudt2021`.
The intensity is $I = I_0 e^{-\mu \ell}$, summed along the ray:

$$\log \frac{I_0}{I} = \sum_k \mu_k \ell_k$$ (beer-lambert)

Equation {eq}`beer-lambert` is the law of Beer and Lambert.

```{math}
\begin{aligned}
a &= b \\
c &< d
\end{aligned}
```
"""


def chapter(*cells: object, parameters: str = 'study = "demo"\nfilms = 3') -> nbformat.NotebookNode:
    """A notebook with a title and a `parameters` cell, followed by the given cells (a string means code)."""
    made = [cell if isinstance(cell, dict) else new_code_cell(cell) for cell in cells]
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[new_markdown_cell("# A chapter\n\nAbout films."), first, *made])


def plotting_chapter() -> nbformat.NotebookNode:
    """A chapter with one captioned figure, one glued number, and formulas."""
    figure = {"figure": {"caption": CAPTION, "name": "fig-recall"}, "image": {"alt": "Bars of recall per arm"}}
    plot = new_code_cell(PLOT, metadata={"mystnb": figure, "tags": ["hide-input"]})
    table = new_code_cell(SHOWN, metadata={"tags": ["hide-input"], "table": TABLE})
    twin = {"figure": {"caption": "A threshold.", "name": "fig-threshold"}, "image": {"alt": "A threshold on a curve"}}
    explored = new_code_cell(TWIN, metadata={"mystnb": twin})
    sheet = {"figure": {"caption": "Films in their places.", "name": "fig-map"}, "image": {"alt": "Films on a map"}}
    mapped = new_code_cell(MAPPED, metadata={"mystnb": sheet})
    rungs = {"figure": {"caption": "A ladder of arms.", "name": "fig-rungs"}, "image": {"alt": "Arms as a ladder"}}
    climbed = new_code_cell(CLIMBED, metadata={"mystnb": rungs})
    told = new_code_cell(SAID, metadata={"tags": ["remove-input"]})
    glued = new_code_cell(GLUE, metadata={"tags": ["remove-input"]})
    return chapter(plot, table, explored, mapped, climbed, told, glued, new_markdown_cell(PROSE))


def write_chapter(root: Path, name: str, notebook: nbformat.NotebookNode) -> Path:
    path = root / "notebooks" / f"{name}.ipynb"
    write_text(path, nbformat.writes(notebook))
    return path


def write_results(study: Study, executed: Path) -> None:
    """Give every chapter the executed notebook, under a title of its own, and the study its answer."""
    template = executed.read_text(encoding="utf-8")
    for number, name in enumerate(CHAPTERS, start=1):
        notebook = json.loads(template)
        notebook["cells"][0]["source"] = f"# Chapter {number}\n\nAbout films."
        text = json.dumps(notebook).replace("beer-lambert", f"law-{number}").replace("fig-recall", f"fig-{number}")
        text = text.replace("tbl-answers", f"tbl-{number}").replace("fig-threshold", f"fig-threshold-{number}")
        text = text.replace("fig-map", f"fig-map-{number}").replace("fig-rungs", f"fig-rungs-{number}")
        write_text(study.results.chapter(name), text)
        # The record, if any, is of the chapter as it was run.
        study.results.chapter_record(name).unlink(missing_ok=True)
    write_json(study.results.table("statements").with_suffix(".json"), {"answer_page": ANSWER})


def small_study(root: Path, write_study_in) -> Study:
    """The tiny study in a folder of its own, which stands for a repository with its notebooks."""
    return load_study(write_study_in(root))


@functools.cache
def built(write_study_in) -> tuple[Study, Path]:
    """The small book, built once for all tests of a process, on a machine set up to lead it astray.

    Its environment asks for a plotting backend without pictures, and names a `python3` kernel that can't start.
    """
    root = Path(tempfile.mkdtemp(prefix="cxr-small-book-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    study = small_study(root, write_study_in)
    write_chapter(root, "01_data", plotting_chapter())
    wrong = {"argv": ["no-such-python"], "display_name": "wrong", "language": "python"}
    write_json(root / "elsewhere" / "kernels" / "python3" / "kernel.json", wrong)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MPLBACKEND", "Agg")
        environment.setenv("JUPYTER_PATH", str(root / "elsewhere"))
        executed = run_chapter(study, "01_data", parameters={"films": 4})
    write_results(study, executed)
    return study, build_book(study)
