"""Chapters run as asked or not at all; a book is published whole, with its numbers, and without anything private."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import small_book
from nbformat.v4 import new_code_cell, new_output

from cxrlib.artifacts import CHAPTERS
from cxrlib.chapters.run import inspect_parameters, run_chapter
from cxrlib.errors import InputError
from cxrlib.publishing.book import KEPT, build_book
from cxrlib.publishing.guard import check_publishable
from cxrlib.publishing.provenance import duration


@pytest.fixture
def study(tmp_path, write_study_in):
    return small_book.small_study(tmp_path, write_study_in)


@pytest.fixture(scope="session")
def built(write_study_in):
    """The study and the index of the small book."""
    return small_book.built(write_study_in)


def page(index: Path, name: str) -> str:
    """A page, its no-break spaces as spaces."""
    return (index.parent / f"{name}.html").read_text(encoding="utf-8").replace("\u00a0", " ")


class TestParameters:
    def test_misspelt_name_is_refused_with_the_nearest(self, study):
        small_book.write_chapter(study.root, "01_data", small_book.chapter())
        with pytest.raises(InputError, match="no parameter `flims`; did you mean `films`"):
            run_chapter(study, "01_data", parameters={"flims": 4})
        assert not study.results.chapter("01_data").parent.exists()

    @pytest.mark.parametrize("value", ["4", 4.0, True, None, [4]])
    def test_value_of_another_type_is_refused(self, study, value):
        small_book.write_chapter(study.root, "01_data", small_book.chapter())
        with pytest.raises(InputError, match=r"parameter `films`: found .*expected int"):
            run_chapter(study, "01_data", parameters={"films": value})

    def test_misspelt_chapter_is_refused_with_the_nearest(self, study):
        with pytest.raises(InputError, match="did you mean `04_classifier_training`"):
            run_chapter(study, "04_clasifier_training")

    def test_notebook_without_the_tag_is_refused(self, study):
        notebook = small_book.chapter()
        notebook.cells[1].metadata["tags"] = ["parameter"]
        path = small_book.write_chapter(study.root, "01_data", notebook)
        with pytest.raises(InputError, match="no cell is tagged `parameters`"):
            inspect_parameters(path)

    def test_computed_parameters_are_refused(self, study):
        path = small_book.write_chapter(
            study.root, "01_data", small_book.chapter(parameters="films = 2 * 3 + len('a')")
        )
        with pytest.raises(InputError, match="literals only"):
            inspect_parameters(path)

    def test_names_types_and_comments_are_read(self, study):
        text = 'study = "demo"  # which one\nrate: float = 0.5\nfolds = (1, 2)'
        path = small_book.write_chapter(study.root, "01_data", small_book.chapter(parameters=text))
        assert inspect_parameters(path) == {"study": "demo", "rate": 0.5, "folds": (1, 2)}


class TestExecution:
    def test_half_a_notebook_is_named(self, study):
        path = small_book.write_chapter(study.root, "01_data", small_book.chapter())
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(InputError, match=r"01_data\.ipynb: not a readable notebook"):
            run_chapter(study, "01_data")

    def test_failed_chapter_is_kept_as_a_log_and_replaces_nothing(self, study):
        failing = small_book.chapter("print('so far')", "raise InputError('no such folder')")
        failing.cells[2].source = "from cxrlib.errors import InputError"
        small_book.write_chapter(study.root, "01_data", failing)
        good = study.results.chapter("01_data")
        good.parent.mkdir(parents=True)
        good.write_text('{"metadata": {}, "cells": [], "nbformat": 4, "nbformat_minor": 5}')
        before = good.read_bytes()
        with pytest.raises(InputError, match=r"chapter 01_data: cell \d.*raise InputError.*no such folder"):
            run_chapter(study, "01_data")
        assert good.read_bytes() == before
        assert "no such folder" in (study.results.root / "logs" / "chapters" / "01_data.failed.ipynb").read_text(
            encoding="utf-8"
        )

    def test_published_copy_names_neither_machine_nor_widgets(self, study):
        revealing = small_book.chapter(
            "import os, sys, ipywidgets\nprint(os.getcwd(), os.getcwd() + '/results')",
            "print('careful', file=sys.stderr)",
            "ipywidgets.IntSlider(description='secret')",
            "{'excluded': ['film' + '17']}",
        )
        revealing.cells[-1].metadata["tags"] = ["remove-output"]
        small_book.write_chapter(study.root, "01_data", revealing)
        path = run_chapter(study, "01_data")
        text = path.read_text(encoding="utf-8")
        for unwanted in (str(study.root), "application/vnd", "IntSlider(value=", "papermill", "careful\\n", "film17"):
            assert unwanted not in text, unwanted
        notebook = nbformat.read(path, as_version=4)
        assert notebook.cells[2].outputs[0].text == ". results\n"
        assert [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])] == [
            "study = 'tiny'\nfilms = 3"
        ]
        assert (study.results.root / "logs" / "chapters" / "01_data.stderr.log").read_text(
            encoding="utf-8"
        ) == "careful\n"
        assert notebook.metadata["cxr"]["seconds"] > 0

    def test_stored_widget_state_is_refused(self, study):
        notebook = small_book.chapter()
        notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
        small_book.write_chapter(study.root, "01_data", notebook)
        with pytest.raises(InputError, match="widget state"):
            run_chapter(study, "01_data")
        assert not study.results.chapter("01_data").exists()

    def test_finished_chapter_is_not_run_again_until_something_changes(self, built, monkeypatch):
        study, _ = built
        small_book.write_chapter(study.root, "02_gan_training", small_book.chapter())
        target = study.results.chapter("02_gan_training")
        kept = target.read_bytes()
        runs = []

        def execute(_, output, values, folder, written):
            runs.append(values)
            output.write_text(nbformat.writes(small_book.chapter()), encoding="utf-8")

        monkeypatch.setattr("cxrlib.chapters.run._execute", execute)
        for parameters in ({}, {}, {"films": 5}, {"films": 5}):
            run_chapter(study, "02_gan_training", parameters=parameters)
        run_chapter(study, "02_gan_training", parameters={"films": 5}, force=True)
        target.write_bytes(kept)
        study.results.chapter_record("02_gan_training").unlink()
        assert [values.get("films") for values in runs] == [None, 5, 5]


class TestBook:
    def test_index_says_the_glued_answer_and_shows_a_picture(self, built):
        study, index = built
        text = page(index, "index")
        assert small_book.ANSWER.replace("'", "’") in text
        assert study.title in text
        assert "simulated" in text
        assert (index.parent / "_images" / "cover.png").stat().st_size > 1000

    def test_what_real_films_gave_is_shown_as_it_was_kept(self, built):
        text = re.sub(r"<[^>]+>", "", page(built[1], "real-films"))
        kept = (KEPT / "found.md").read_text(encoding="utf-8")
        estimates = set(re.findall(r"\d[\d.]* \[[^\]]+\]", kept))
        assert len(estimates) > 5
        assert all(estimate in text for estimate in estimates)
        assert "What this can’t say" in text

    def test_chapters_show_their_pictures_numbers_and_captions(self, built):
        _, index = built
        for name in CHAPTERS:
            text = page(index, f"chapters/{name}")
            assert 'alt="Bars of recall per arm"' in text
            assert small_book.CAPTION in text
            assert ">8<" in text.replace("<strong>", ">").replace("</strong>", "<").replace(">>", ">")

    def test_formulas_need_no_script(self, built):
        _, index = built
        text = page(index, "chapters/01_data")
        assert text.count("<math ") == 3
        assert "<mtable" in text
        assert 'alttext="a' not in text.split("<mtable")[0]
        assert "mathjax" not in "".join(path.name for path in index.parent.rglob("*")).lower()
        assert "MathJax" not in text

    def test_references_and_provenance_are_there(self, built):
        study, index = built
        assert "https://arxiv.org/abs/2112.07529" in page(index, "references")
        provenance = page(index, "provenance")
        for said in ("torch", "processor cores", f"The study has one seed, {study.seed}", "chapters"):
            assert said in provenance
        assert page(index, "index").rindex("provenance.html") > page(index, "index").index("references.html")

    def test_who_answers_for_it_what_reviewers_ask_and_the_cards_are_pages(self, built):
        study, index = built
        assert "@misc" in page(index, "about")
        for name in ("claim", "tripod", "stard"):
            assert f'id="checklist-{name}"' in page(index, "checklists")
        assert page(index, "cards").count('id="sheet-') == len(study.roles)
        # Links to chapters hold although these chapters lack the headings that answers name.
        assert 'href="chapters/05_results.html"' in page(index, "checklists")

    def test_second_build_changes_nothing(self, built):
        study, index = built
        folder = index.parent.stat().st_ino
        assert build_book(study) == index
        assert index.parent.stat().st_ino == folder

    def test_warning_stops_the_book_and_leaves_the_old_one(self, study, built):
        shutil.copytree(built[0].results.root, study.results.root)
        old = study.build_folder / "html" / "index.html"
        small_book.write_text(old, "the old book")
        small_book.write_text(study.root / "book" / "_toc.yml", "format: jb-book\nroot: index\n")
        small_book.write_text(study.root / "book" / "index.md", "# {{ title }}\n\nSee [there](nowhere.md).\n")
        config = "title: ''\nonly_build_toc_files: true\nparse: {}\n"
        small_book.write_text(study.root / "_config.yml", config)
        with pytest.raises(InputError, match=r"WARNING.*nowhere\.md"):
            build_book(study)
        assert old.read_text(encoding="utf-8") == "the old book"

    @pytest.mark.parametrize("text", ["{", '{"metadata": {}}', '{"metadata": {}, "cells": [{"cell_type": "code"}]}'])
    def test_damaged_chapter_is_named(self, study, built, text):
        shutil.copytree(built[0].results.root, study.results.root)
        small_book.write_text(study.results.chapter("03_synthesis_review"), text)
        with pytest.raises(InputError, match=r"03_synthesis_review\.ipynb: damaged"):
            build_book(study)

    def test_missing_chapter_is_named(self, study):
        with pytest.raises(InputError, match=r"not executed yet: 01_data.*make report STUDY=tiny"):
            build_book(study)


class TestGuard:
    @pytest.fixture
    def html(self, tmp_path):
        """A book of one page with one picture."""
        notebook = small_book.chapter()
        picture = new_output("display_data", data={"image/png": "aGk="})
        notebook.cells.append(new_code_cell("plot()", outputs=[picture]))
        (tmp_path / "_sources").mkdir()
        (tmp_path / "_sources" / "one.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        (tmp_path / "one.html").write_text('<a href="https://doi.org/1">1</a><img src="one.png">', encoding="utf-8")
        return tmp_path

    def test_good_book_passes(self, html):
        check_publishable(html)

    @pytest.mark.parametrize(
        ("added", "problem"),
        [
            ('<script src="https://cdn.example/a.js"></script>', "loads https://cdn.example/a.js"),
            ('<link rel="stylesheet" href="//fonts.example/css">', "loads //fonts.example/css"),
            ('<img src="http://example.org/a.png">', "loads http://example.org/a.png"),
            (f"<p>{Path.home()}/films/1.png</p>", "names a folder of this machine"),
            ('<script src="HTTPS://cdn.example/a.js"></script>', "loads HTTPS://cdn.example/a.js"),
            ('<img srcset="a.png 1x, https://e.org/b.png 2x">', "loads https://e.org/b.png"),
            ('<object data="//e.org/a.svg"></object>', "loads //e.org/a.svg"),
            ('<video poster="https://e.org/a.png"></video>', "loads https://e.org/a.png"),
            ('<p style="background: url(https://e.org/a.png)">', "loads https://e.org/a.png"),
            ("<style>@import 'https://e.org/a.css';</style>", "loads https://e.org/a.css"),
            ("<script>fetch('//e.org/a.json')</script>", "loads //e.org/a.json"),
            ("<script>new WebSocket('wss://e.org/a')</script>", "loads wss://e.org/a"),
            ('<meta http-equiv="refresh" content="0; URL=https://e.org">', "loads https://e.org"),
            ('<form action="https://e.org/a">', "loads https://e.org/a"),
            ('<a href="b.html" ping="https://e.org/a">', "loads https://e.org/a"),
            (r'<img src="\\e.org\a.png">', "loads //e.org/a.png"),
            ('<img src="https:e.org/a.png">', "loads https:e.org"),
            ('<img src="ht\ttps://e.org/a.png">', "loads https://e.org"),
            ('<img src="//10.0.0.1/a">', "loads //10.0.0.1/a"),
            ('<a href="javascript:fetch(x)">', "loads javascript:"),
            ('<iframe src="data:text/html,%3Cimg%20src">', "loads data:text/html"),
            ('<script>fetch("ht" + "tps://e.org")</script>', "loads https://e.org"),
            ('<script>fetch("\\x68ttps:\\/\\/e.org")</script>', "loads https://e.org"),
            ("<script>fetch(atob('aHR0cHM6Ly9lLm9yZw=='))</script>", "loads aHR0cHM6Ly9lLm9yZw"),
            ("<p onclick=\"fetch('//e.org/a')\">", "loads //e.org/a"),
            ('<meta http-equiv="Content-Security-Policy" content="report-uri https://e.org">', "loads https://e.org"),
            ('<script>location = ["https:", "", "e.org"].join("/")</script>', 'loads "https:"'),
            ('<script>location = ["https", "e.org"].join("://")</script>', 'loads "://"'),
            ("<script>fetch(String.fromCharCode(104, 116))</script>", "loads fromCharCode"),
            ('<script>new RTCPeerConnection({urls: "stun:e.org"})</script>', "loads stun:e.org"),
            (r'<p style="background: u\72l(h\74tps://e.org/a.png)">', "loads https://e.org/a.png"),
            ('<img src="///e.org/a.png">', "loads ///e.org/a.png"),
            ('<link rel="next" href="https://e.org/a">', "loads https://e.org/a"),
            ('<!--><img src="https://e.org/a.png">-->', "loads https://e.org/a.png"),
            ('<svg><![CDATA[<img src="https://e.org/a.png">]]></svg>', "loads https://e.org/a.png"),
            ("<p>in /data/hospital/films.</p>", "names a folder of this machine: /data/hospital/films"),
        ],
    )
    def test_foreign_loads_and_private_paths_are_refused(self, html, added, problem):
        page = html / "one.html"
        page.write_text(page.read_text(encoding="utf-8") + added, encoding="utf-8")
        with pytest.raises(InputError, match=problem):
            check_publishable(html, private=(Path("/data/hospital"),))

    def test_an_address_that_is_read_or_clicked_on_is_none_of_these(self, html):
        page = html / "one.html"
        added = '<p title="https://e.org">https://e.org // a.b</p><link rel="canonical" href="https://e.org">'
        page.write_text(page.read_text(encoding="utf-8") + added, encoding="utf-8")
        check_publishable(html)

    @pytest.mark.parametrize(
        "text",
        ['{"cells": [', "[]", "5", '{"cells": 5, "metadata": {}}', '{"cells": [5], "metadata": {}}',
         '{"cells": [{"cell_type": "code", "metadata": {}, "outputs": [5]}], "metadata": {}}',
         '{"cells": [{"cell_type": "code", "metadata": {}}], "metadata": {}}'],
    )  # fmt: skip
    def test_a_damaged_notebook_is_named(self, html, text):
        (html / "_sources" / "one.ipynb").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"one\.ipynb: damaged, no notebook"):
            check_publishable(html)

    def test_a_page_in_another_encoding_is_read(self, html):
        (html / "two.html").write_bytes("Größe".encode("latin-1"))
        check_publishable(html)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("a.css", "@font-face { src: url('https://fonts.example/a.woff2') }"),
            ("a.css", "@import/**/'https://fonts.example/a.css';"),
            ("a.css", "a { background: image-set('https://fonts.example/a.png' 1x) }"),
            ("a.css", "a { background: url(\\68 ttps://fonts.example/a.png) }"),
            ("a.js", "fetch('https://fonts.example/a')"),
            ("a.svg", "<?xml-stylesheet href='https://fonts.example/a.css'?><svg/>"),
        ],
    )
    def test_what_other_files_fetch_is_refused(self, html, name, text):
        (html / name).write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"loads https://fonts\.example"):
            check_publishable(html)

    def test_a_drawing_s_own_notes_load_nothing(self, html):
        note = '<dc:type rdf:resource="http://purl.org/dc/dcmitype/StillImage"/>'
        (html / "a.svg").write_text(f'<svg xmlns:xlink="http://www.w3.org/1999/xlink">{note}</svg>', encoding="utf-8")
        check_publishable(html)

    def test_vanished_picture_is_noticed(self, html):
        (html / "one.html").write_text("<p>no picture</p>", encoding="utf-8")
        with pytest.raises(InputError, match="made 1 pictures, the page shows 0"):
            check_publishable(html)

    def test_widget_state_is_refused(self, html):
        path = html / "_sources" / "one.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"]["widgets"] = {}
        path.write_text(json.dumps(notebook), encoding="utf-8")
        with pytest.raises(InputError, match="widget state"):
            check_publishable(html)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.4, "12 s"), (200, "3 min 20 s"), (3599.7, "1 h 00 min"), (7530, "2 h 05 min")],
)
def test_durations_read_naturally(seconds, text):
    assert duration(seconds) == text
