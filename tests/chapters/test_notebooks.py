"""The committed notebooks keep to the rules of a readable chapter."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from cxrlib.artifacts import CHAPTERS

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
KNOWN_TAGS = {"parameters", "hide-input", "remove-cell", "remove-output", "external", "of-readers"}
CELL_METADATA = {"tags", "mystnb"}
NAMES_WITH_DIGITS = re.compile(r"COVID-19|\bF1\b|\b(Table|Figure) [12]\b")
QUOTED = re.compile(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)")


def read(chapter):
    return nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)


def code_cells(chapter):
    return [cell for cell in read(chapter).cells if cell.cell_type == "code"]


def prose(chapter):
    return "\n\n".join(cell.source for cell in read(chapter).cells if cell.cell_type == "markdown")


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
    lengths = [len(lines(cell)) for cell in code_cells(chapter)]
    assert max(lengths) <= 15
    assert statistics.median(lengths) <= 5


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_class_function_or_batch_loop(chapter):
    for cell in code_cells(chapter):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.For | ast.While)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_prose_carries_the_story(chapter):
    words = len(re.findall(r"[A-Za-z]{2,}", prose(chapter)))
    told = [cell for cell in code_cells(chapter) if "remove-cell" not in cell.metadata.get("tags", [])]
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
    plain = NAMES_WITH_DIGITS.sub("", QUOTED.sub("", prose(chapter)))
    found = [line for line in plain.splitlines() if re.search(r"\d", line)]
    assert found == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_glued_is_glued_here_and_carries_the_chapter_s_prefix(chapter):
    used = set(re.findall(r"\{glue:text\}`([^`]+)`", prose(chapter)))
    assert sum("chapter.glue(" in cell.source for cell in code_cells(chapter)) == 1
    assert used
    (prefix,) = {key.split(".")[0] for key in used}
    assert prefix in chapter.split("_"), "glued words begin with a word of the chapter's name"
    findings = prose(chapter).split("## What we found")[1]
    assert "{glue:text}`" in findings


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_says_whether_its_films_are_simulated(chapter):
    text = prose(chapter)
    assert len(re.findall(r"\{glue:text\}`\w+\.origin`", text)) >= 2
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


def test_references_are_in_the_bibliography():
    bibliography = (NOTEBOOKS.parent / "book" / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{([^,]+),", bibliography, flags=re.MULTILINE))
    for chapter in CHAPTERS:
        for keys in re.findall(r"\{cite\}`([^`]+)`", prose(chapter)):
            assert {key.strip() for key in keys.split(",")} <= known, chapter


def test_figure_references_name_figures_of_the_same_chapter():
    for chapter in CHAPTERS:
        names = {cell.metadata.mystnb.figure.name for cell in code_cells(chapter) if shows_figure(cell)}
        assert set(re.findall(r"\{numref\}`([^`]+)`", prose(chapter))) <= names
