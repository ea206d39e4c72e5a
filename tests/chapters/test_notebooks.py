"""The committed notebooks keep to the rules of a readable chapter."""

import ast
import importlib
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from cxrlib.artifacts import CHAPTERS
from cxrlib.chapters import classifiers, films, generators, reading, results
from cxrlib.chapters.chapter import FACT
from cxrlib.publishing.pages import CITED, REFERRED

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
KNOWN_TAGS = {"parameters", "hide-input", "remove-input", "remove-output", "external", "of-readers", "method"}
CELL_METADATA = {"tags", "mystnb", "jupyter", "table"}
ROOMS = dict(zip(CHAPTERS, (films, generators, reading, classifiers, results), strict=True))
# Facts that hold no number, or one that the notebook itself has made.
WORDS = {"origin", "summary", "shortcut_verdict", "augmentations", "modulation", "features", "fidelity", "variety"}
WORDS |= {"nearer", "tested", "beside", "remake_difference"}
# Figures of films alone have nothing to find in their data.
SHEETS = {"copies", "films", "outlines", "map_films", "gan_augmentation", "samples", "real_and_synthetic", "truncation",
          "interpolation", "walk", "sheet_negative", "sheet_positive", "nearest", "augmentation"}  # fmt: skip
NAMES_WITH_DIGITS = re.compile(r"COVID-19|\bF1\b|\b(Table|Figure) [12]\b")
QUOTED = re.compile(r"`[^`]*`|\[\([^)]*\)\]\(#cite:[^)]*\)|\]\([^)]*\)")
SAID = re.compile(r'chapter\.say\(\s*"(?:"")?(.*?)"(?:"")?(?:,\s+\w+=\w+,?\s*)?\)', re.S)


def read(chapter):
    return nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)


def code_cells(chapter):
    return [cell for cell in read(chapter).cells if cell.cell_type == "code"]


def says(cell):
    return cell.source.startswith("chapter.say(")


def said(cell):
    """The prose of a cell, with the names of facts in braces."""
    return SAID.fullmatch(cell.source)[1].strip() if says(cell) else cell.source


def prose(chapter):
    return "\n\n".join(said(cell) for cell in read(chapter).cells if cell.cell_type == "markdown" or says(cell))


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def shows_figure(cell):
    return "chapter.figure(" in cell.source or "threshold_explorer(" in cell.source.split("import")[-1]


def test_there_are_exactly_the_chapters():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_notebook_is_valid_and_committed_without_outputs(chapter):
    notebook = read(chapter)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    assert "widgets" not in notebook.metadata
    for cell in code_cells(chapter):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_first_code_cell_holds_the_parameters_and_only_literals(chapter):
    first, *others = code_cells(chapter)
    assert first.metadata.tags == ["parameters"]
    assert not any("parameters" in cell.metadata.get("tags", []) for cell in others)
    values = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(first.source).body}
    assert values["study"] == "demo"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_tags_and_metadata_come_from_the_short_list(chapter):
    for cell in read(chapter).cells:
        assert set(cell.metadata) <= CELL_METADATA
        assert set(cell.metadata.get("tags", [])) <= KNOWN_TAGS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_cells_are_short(chapter):
    assert max(len(cell.source.splitlines()) for cell in code_cells(chapter)) <= 15
    assert statistics.median(len(lines(cell)) for cell in code_cells(chapter) if not says(cell)) <= 5


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_class_function_or_batch_loop(chapter):
    for cell in code_cells(chapter):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.For | ast.While)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_prose_carries_the_story(chapter):
    words = len(re.findall(r"[A-Za-z]{2,}", prose(chapter)))
    told = [cell for cell in code_cells(chapter) if not says(cell)]
    assert words >= 12 * sum(len(lines(cell)) for cell in told)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_shape_title_question_aims_and_findings(chapter):
    text = prose(chapter)
    assert re.match(r"# [A-Z].+\n\n\*.+\?\*\n", text), "a title, and a question as its subtitle"
    for opening in ("**What this chapter does.**", "**What it needs.**", "**What it makes.**"):
        assert opening in text
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings[-1] == "What we found"
    assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_number_is_typed_in_the_prose(chapter):
    plain = NAMES_WITH_DIGITS.sub("", QUOTED.sub("", FACT.sub("", prose(chapter))))
    found = [line for line in plain.splitlines() if re.search(r"\d", line)]
    assert found == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_facts_are_said_by_cells_so_that_a_live_notebook_has_them_too(chapter):
    for cell in read(chapter).cells:
        assert not re.search(r"\{[a-z:]+\}`", cell.source), "JupyterLab prints roles as they stand"
        if cell.cell_type == "markdown":
            assert not FACT.search(cell.source)
        elif says(cell):
            assert "remove-input" in cell.metadata.tags
            assert cell.metadata.jupyter.source_hidden
            assert FACT.search(said(cell)), "what never changes is Markdown"
    assert FACT.search(prose(chapter).split("## What we found")[1])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_says_whether_its_films_are_simulated(chapter):
    text = prose(chapter)
    assert text.count("{origin}") >= 2
    assert "simulated" not in text.split("## What we found")[1], "what depends on the study is glued, not typed"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_has_a_caption_and_alternative_text(chapter):
    figures = [cell for cell in code_cells(chapter) if shows_figure(cell)]
    assert figures
    names = [cell.metadata.mystnb.figure.name for cell in figures]
    assert len(set(names)) == len(names)
    for cell in figures:
        assert len(cell.metadata.mystnb.figure.caption) > 40
        assert len(cell.metadata.mystnb.image.alt) > 30


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_plotting_backend_is_left_alone(chapter):
    source = "\n".join(cell.source for cell in code_cells(chapter))
    assert not re.search(r"MPLBACKEND|matplotlib\.use|%matplotlib", source)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_number_said_is_traced_and_every_figure_has_a_finding(chapter):
    room = importlib.import_module(f"{ROOMS[chapter].__name__}.notebook")
    facts = {name for cell in code_cells(chapter) if says(cell) for name in FACT.findall(said(cell))} - WORDS
    assert {name for name in facts if not any(re.fullmatch(pattern, name) for pattern in room.SOURCES)} == set()
    if chapter != "05_results":
        assert set(room.FIGURES) - set(room.FOUND) <= SHEETS


def test_references_are_in_the_bibliography():
    bibliography = (NOTEBOOKS.parent / "book" / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{([^,]+),", bibliography, flags=re.MULTILINE))
    for chapter in CHAPTERS:
        for keys in CITED.findall(prose(chapter)):
            assert set(keys.split(",")) <= known, chapter


def test_figure_references_name_figures_of_the_same_chapter():
    for chapter in CHAPTERS:
        names = {cell.metadata.mystnb.figure.name for cell in code_cells(chapter) if shows_figure(cell)}
        assert set(REFERRED.findall(prose(chapter))) <= names
