"""Chapters 4 and 5 and the page on the tables, on a tiny study with every arm: what people read is in the tables."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from cxrlib.chapters.chapter import FACT
from cxrlib.chapters.films.tables import covidx_labels, make_film_tables
from cxrlib.chapters.generators.comparisons import COLUMNS as COMPARISON_COLUMNS
from cxrlib.chapters.generators.quality import measure_quality
from cxrlib.chapters.reading.exports import CODEBOOK as READING_ANSWERS
from cxrlib.chapters.reading.tables import COLUMNS as READING_COLUMNS
from cxrlib.chapters.results.explanations import explain_study
from cxrlib.chapters.results.tables import make_tables
from cxrlib.chapters.run import WIDGET_VIEW, run_chapter
from cxrlib.films.settings import CovidxSource
from cxrlib.publishing.guard_pages import NOT_SHOWN
from cxrlib.publishing.pages import as_page
from cxrlib.study import load_study

PAGES = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = PAGES.parent / "notebooks"
CHAPTERS = ("04_classifier_training", "05_results")


@pytest.fixture(scope="module")
def study(trained_study):
    study = trained_study
    make_film_tables(study)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cxrlib.generators.lungs.STEPS", 2)
        measure_quality(study)
    make_tables(study)
    explain_study(study)
    return study


@pytest.fixture(scope="module")
def chapters(study):
    return {name: json.loads(run_chapter(study, name).read_text()) for name in CHAPTERS}


def described() -> dict[str, list[str]]:
    """Columns of each table as the page on the tables names them."""
    text = (PAGES / "tables.md").read_text(encoding="utf-8")
    sections = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)[1:]
    found = {}
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        assert name not in found, f"{name} is described twice"
        rows = [line.split("|")[1:-1] for line in body.splitlines() if line.startswith("| `")]
        assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows), name
        found[name] = [column for row in rows for column in re.findall(r"`(\w+)`", row[0])]
    return found


def test_every_column_of_every_table_is_described_and_nothing_else(study, tmp_path):
    tables = {path.stem: pd.read_csv(path) for path in study.results.table("any").parent.glob("*.csv")}
    tables["covidx_labels"] = covidx_labels(_study_of_covidx_labels(study, tmp_path))
    tables |= {name: pd.DataFrame(columns=list(columns)) for name, columns in READING_COLUMNS.items()}
    tables["comparisons"] = pd.DataFrame(columns=list(COMPARISON_COLUMNS))
    tables["reading_answers"] = pd.DataFrame(columns=list(READING_ANSWERS))
    assert len(tables) > 20
    pages = described()
    assert sorted(pages) == sorted(tables)
    for name, table in tables.items():
        assert sorted(pages[name]) == sorted(table.columns), name


def test_values_stay_within_the_ranges_that_the_page_gives(study):
    text = (PAGES / "tables.md").read_text(encoding="utf-8")
    sections = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)[1:]
    checked = 0
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        path = study.results.table(name)
        if not path.exists():
            continue
        table = pd.read_csv(path)
        for columns, unit in re.findall(r"^\| (`.+?`) \| ([^|]+) \|", body, flags=re.MULTILINE):
            limits = {"0–1": (0, 1), "−1–1": (-1, 1), "films": (0, 1e6), "patients": (0, 1e6)}.get(unit.strip())
            for column in re.findall(r"`(\w+)`", columns) if limits else ():
                if "metric" in table and name not in ("subgroups", "paper_conclusions"):
                    values = table[~table["metric"].isin(["mcc", "calibration_slope"])][column]
                else:
                    values = table[column]
                values = pd.to_numeric(values, errors="coerce").dropna()
                assert values.between(limits[0] - 1e-9, limits[1] + 1e-9).all(), f"{name}.{column}"
                checked += 1
    assert checked > 80


def test_the_page_is_in_the_book():
    assert "- file: tables" in (PAGES / "_toc.yml").read_text()


def test_chapters_run_and_show_every_figure_they_promise(chapters):
    for name, chapter in chapters.items():
        promised = [cell for cell in chapter["cells"] if "mystnb" in cell["metadata"]]
        assert len(promised) >= (3 if name.startswith("04") else 14)
        for cell in promised:
            kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
            assert kinds.count("image/png") == 1, cell["id"]


def test_cells_say_the_facts_of_this_run_and_the_book_prints_the_same(chapters):
    for name, chapter in chapters.items():
        cells = [cell for cell in chapter["cells"] if "".join(cell["source"]).startswith("chapter.say(")]
        said = ["".join(output["data"]["text/markdown"]) for cell in cells for output in cell["outputs"]]
        assert len(said) == len(cells) > 1
        assert not [text for text in said if FACT.search(text)], name
        page = "\n".join("".join(cell["source"]) for cell in as_page(chapter)["cells"])
        assert page.count('<span class="fact"') >= 5, name
        printed = re.sub(r"</?span[^>]*>", "", page)
        assert all(text in printed for text in said if "](#" not in text), name
        assert "chapter.say(" not in printed


def test_no_widget_and_no_id_of_a_film_is_in_an_executed_chapter(chapters, study):
    manifest = pd.read_csv(study.results.manifest("hospital"))
    for chapter in chapters.values():
        text = json.dumps(chapter)
        assert WIDGET_VIEW not in text
        assert "widgets" not in chapter["metadata"]
        assert not [name for name in (*manifest["image_id"], *manifest["patient_id"]) if name in text]


def test_the_tables_shown_are_those_of_the_files(chapters, study):
    table2 = pd.read_csv(study.results.table("table2"))
    text = "\n".join(_shown(chapters["05_results"]))
    hospital = table2[table2["role"] == "hospital"]
    assert len(hospital) == 2 * (len(study.classifier_arms) - 1)
    for accuracy in hospital["accuracy"]:
        assert f"{100 * accuracy:.1f}" in text
    for arm in study.classifier_arms:
        assert arm in "\n".join(_shown(chapters["04_classifier_training"]))


def _shown(chapter):
    for cell in chapter["cells"]:
        if cell["cell_type"] == "code" and not NOT_SHOWN & set(cell["metadata"].get("tags", [])):
            for output in cell["outputs"]:
                yield "".join(output.get("data", {}).get("text/html", ""))


def _study_of_covidx_labels(study, folder):
    """The same study with validation films from a tree that holds nothing but COVIDx's label files."""
    import yaml

    for split in ("train", "test"):
        lines = [f"{split}{n} {split}{n}.png {label} {source}" for n, (label, source) in
                 enumerate((("positive", "sirm"), ("negative", "rsna"), ("negative", "rsna")))]  # fmt: skip
        (folder / f"{split}_COVIDx8B.txt").write_text("\n".join(lines) + "\n")
    values = yaml.safe_load(study.file.read_text())
    values["data"]["validation"] = {"reader": "covidx", "folder": str(folder), "split": "test"}
    (folder / "studies").mkdir()
    (folder / "studies" / "tiny.yaml").write_text(yaml.safe_dump(values))
    loaded = load_study(folder / "studies" / "tiny.yaml")
    assert isinstance(loaded.data.validation, CovidxSource)
    return loaded
