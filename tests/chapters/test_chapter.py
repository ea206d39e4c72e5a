"""What a chapter says: the same words in a live notebook and in the book."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cxrlib.chapters.chapter import Chapter
from cxrlib.chapters.sheets import FilmRow, film_sheet
from cxrlib.chapters.style import named_lines
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import show
from cxrlib.errors import InputError
from cxrlib.files import write_table
from cxrlib.publishing.pages import as_page
from cxrlib.study import load_study


def not_yet(study):
    raise FileNotFoundError("nothing is trained yet")


@pytest.fixture
def chapter(write_tiny_study):
    return Chapter(load_study(write_tiny_study()), {}, {}, [lambda study: {"films": 1234, "share": "5.0 %"}, not_yet])


def test_facts_take_the_place_of_their_names_and_counts_are_told_by_thousands(chapter):
    assert chapter.say("\nOf {films} films {share} are new; {kept}.\n", kept="all").data == (
        "Of 1,234 films 5.0 % are new; all."
    )
    assert "simulated" in chapter.say("{origin}").data


def test_a_role_of_the_book_is_no_fact(chapter):
    assert chapter.say("{films} films, {eq}`law`").data == "1,234 films, {eq}`law`"


def test_facts_that_later_work_makes_are_not_asked_for_before(chapter):
    assert chapter.say("{films}").data == "1,234"
    with pytest.raises(FileNotFoundError):
        chapter.say("{losses}")


def test_unknown_fact_names_those_there_are(write_tiny_study):
    chapter = Chapter(load_study(write_tiny_study()), {}, {}, [lambda study: {"films": 3}])
    with pytest.raises(InputError, match=r"fact `flims`.*origin, summary, films"):
        chapter.say("{flims}")


def test_of_a_role_that_the_study_lacks_nothing_is_said(write_tiny_study):
    chapter = Chapter(load_study(write_tiny_study()), {}, {}, [lambda study: {"films": 3}])
    assert chapter.say("A second hospital has {external_films} films, of {films}; {shift_external}").data == ""


def test_a_number_in_a_sentence_is_traced_to_its_row_and_the_book_has_it(write_tiny_study):
    study = load_study(write_tiny_study())
    table = pd.DataFrame({"role": ["training", "hospital", "hospital"], "shortcut": ["source", "source", "borders"],
                          "accuracy": [0.9, 0.862, 0.5], "films": [1200, 1234, 862]})  # fmt: skip
    write_table(study.results.table("shortcut"), table)
    sources = {"source_(.*)": [Source("tables/shortcut.csv", {"role": r"\1"})]}
    facts = {"source_hospital": "of 1,234 films 86.2 %, by 7 sources, not 0.86", "films": 86}
    said = Chapter(study, {}, {}, [lambda study: facts], sources=sources).say("Right: {source_hospital}; {films}.")
    assert said.data == "Right: of 1,234 films 86.2 %, by 7 sources, not 0.86; 86."
    traces = [piece.get("trace") for piece in said.metadata["pieces"]]
    assert [trace is None for trace in traces] == [True, False, True, True, True]
    assert traces[1]["files"] == [{"file": "tables/shortcut.csv", "where": "role = hospital"}]
    told = "role: hospital · shortcut: source"
    assert traces[1]["numbers"] == {"1,234": [f"{told} · films: 1234"], "86.2": [f"{told} · accuracy: 0.862"]}
    spoken = {"data": {"text/markdown": said.data}, "metadata": {"text/markdown": said.metadata}}
    cells = [code("chapter.say", {"output_type": "display_data", **spoken}, tags=["remove-input"])]
    page = as_page({"cells": cells, "metadata": {}})["cells"][0]["source"]
    assert page.count('<span class="fact" data-trace="{&quot;files&quot;') == 1
    assert page.endswith(">of 1,234 films 86.2 %, by 7 sources, not 0.86</span>; 86.")


def test_no_row_of_a_study_with_private_films_stands_behind_a_sentence(write_tiny_study, monkeypatch):
    monkeypatch.setattr("cxrlib.study.Study.publishable", lambda study, role: role != "hospital")
    study = load_study(write_tiny_study())
    write_table(study.results.table("shortcut"), pd.DataFrame({"role": ["hospital", "hospital"], "films": [1234, 3]}))
    sources = {"source_(.*)": [Source("tables/shortcut.csv", {"role": r"\1"})]}
    facts = {"source_hospital": "1,234 films of 3 sources"}
    said = Chapter(study, {}, {}, [lambda study: facts], sources=sources).say("{source_hospital}")
    assert said.metadata["pieces"][1]["trace"] == {
        "files": [{"file": "tables/shortcut.csv", "where": "role = hospital"}]
    }


def test_a_role_has_one_name_in_words(write_tiny_study):
    table = pd.DataFrame({"role": ["validation", "hospital"], "films": [3, 4]})
    tables = {"films": lambda study: table, "wide": lambda study: table.set_index("role").T}
    chapter = Chapter(load_study(write_tiny_study()), {}, tables, [])
    assert list(chapter.table("films")["role"]) == ["tuning", "hospital"]
    assert list(chapter.table("wide").columns) == ["tuning", "hospital"]


def test_a_panel_without_lines_is_drawn_empty():
    ax = Figure().subplots()
    named_lines(ax, [], [], xlabel="%")
    assert list(ax.get_yticks()) == []


def test_pictures_carry_no_colours_that_they_do_not_have(write_tiny_study):
    study, rows = load_study(write_tiny_study()), [FilmRow("films", np.zeros((2, 8, 8), np.uint8), "simulated")]
    plot = Figure()
    plot.subplots().plot([0, 1], color="#0072B2")
    overlay = Figure()
    overlay.subplots().imshow(np.arange(64).reshape(8, 8), cmap="viridis")
    modes = {}
    for name, figure in {"sheet": film_sheet(rows), "plot": plot, "overlay": overlay}.items():
        with Image.open(io.BytesIO(show(study, name, figure).data)) as picture:
            modes[name] = picture.mode
            assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert modes == {"sheet": "L", "plot": "P", "overlay": "RGB"}


def code(source, *outputs, tags=()):
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source, "outputs": list(outputs)}


def test_the_book_prints_what_was_said_numbers_its_figures_and_folds_its_code():
    text = "As [(Efron 1993)](#cite:efron1993) and [Figure\n*plane*](#fig-plane) show; [tables](../tables.md)."
    spoken = {"output_type": "execute_result", "data": {"text/markdown": [text]}, "metadata": {}}
    cells = [code('chapter.say("…")', spoken, tags=["remove-input"]), code("x = 1"), code("y", tags=["hide-input"])]
    cells.append(code("loss", tags=["method"]))
    said, *folded, method = as_page({"cells": cells, "metadata": {}})["cells"]
    assert said["cell_type"] == "markdown"
    assert said["source"] == "As {cite}`efron1993` and {numref}`fig-plane` show; [tables](../tables.md)."
    assert [cell["metadata"]["tags"] for cell in folded] == [["hide-input"]] * 2
    assert method["metadata"]["tags"] == ["method"]
