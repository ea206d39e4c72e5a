"""Canaries: a private hospital whose films carry known patterns and names leaves no trace of either in what is
published; and where the rule is removed, the same search finds both."""

from dataclasses import replace

import nbformat
import pytest
import small_book
from canaries import make_study, names_found, patterns_found
from nbformat.v4 import new_code_cell

from cxrlib.artifacts import CHAPTERS
from cxrlib.chapters.run import notebook_path, run_chapter
from cxrlib.classifiers.training import train_classifier
from cxrlib.errors import InputError
from cxrlib.files import write_text
from cxrlib.films.settings import LABELS
from cxrlib.generators.synthesis import synthesise
from cxrlib.generators.training import train_generator
from cxrlib.networks import JUDGE, NETWORKS
from cxrlib.publishing.book import build_book
from cxrlib.publishing.guard import check_publishable
from cxrlib.publishing.publish import publish_book

RULE_REMOVED = "from cxrlib.study import Study\n\nStudy.publishable = lambda self, role: True"
# The chapters that show films and rows; the others only train, and a page without outputs stands for them.
REAL = ("01_data", "03_synthesis_review", "05_results")
LEAKING = "01_data"


@pytest.fixture(scope="module", autouse=True)
def judge_of_the_chapters(quick_judge):
    """Chapters run in processes of their own, which judge films at 224 pixels; so do the stages before them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, JUDGE, replace(NETWORKS[JUDGE], side=224))
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """The canaries' study: its stages, its real chapters on data, reading and results, and its real book."""
    made = make_study(tmp_path_factory.mktemp("canaries"), write_study_in)
    run_chapter(made, "01_data")
    for label in LABELS:
        train_generator(made, label, "all")
        synthesise(made, label, "all")
    for arm in made.classifier.arms:
        train_classifier(made, arm, 0, "all")
    for name in CHAPTERS:
        if name in REAL:
            run_chapter(made, name)
        else:
            silent = small_book.chapter()
            silent.metadata |= {"cxr": {"seconds": 1.0}, "language_info": {"name": "python"}}
            write_text(made.results.chapter(name), nbformat.writes(silent))
    build_book(made)
    return made


@pytest.fixture(scope="module")
def published(study):
    return publish_book(study, sign=lambda lines: "Ada Lovelace").parent


@pytest.fixture(scope="module")
def leaking(study, published):
    """The same study after chapter 1 ran without the rule."""
    notebook = nbformat.read(notebook_path(study, LEAKING), as_version=4)
    notebook.cells.insert(2, new_code_cell(RULE_REMOVED))
    write_text(study.root / "notebooks" / f"{LEAKING}.ipynb", nbformat.writes(notebook))
    run_chapter(study, LEAKING)
    return study


def test_nothing_of_the_private_films_is_published(study, published):
    for folder in (published, study.build_folder, *study.results.published):
        assert names_found(folder) == []
        assert patterns_found(folder) == []


def test_the_book_says_what_stands_in_the_place_of_private_films(published):
    notebook = (published / "_sources" / "chapters" / "01_data.ipynb").read_text(encoding="utf-8")
    assert "1 not named" in notebook
    text = (published / "chapters" / "03_synthesis_review.html").read_text(encoding="utf-8")
    assert "simulated ones where these may not be shown" in text


def test_without_the_rule_the_guard_stops_the_book_and_keeps_the_old_one(leaking, published):
    index = leaking.build_folder / "html" / "index.html"
    before = index.read_bytes()
    with pytest.raises(InputError, match="not published") as caught:
        build_book(leaking)
    said = str(caught.value)
    assert "ids or file names of the hospital role" in said
    assert "of the hospital role, or as good as" in said
    assert "kanari" not in said.lower()
    assert index.read_bytes() == before
    with pytest.raises(InputError, match="not published"):
        publish_book(leaking, sign=lambda lines: "Ada Lovelace")
    assert "kanari" not in (published / "chapters" / "01_data.html").read_text(encoding="utf-8").lower()


def test_without_rule_and_guard_the_same_search_finds_names_and_patterns(leaking, published, monkeypatch):
    monkeypatch.setattr("cxrlib.publishing.book.check_results", lambda study, tell: None)
    monkeypatch.setattr("cxrlib.publishing.book.check_publishable", lambda html, study: None)
    html = build_book(leaking).parent
    names, pictures = names_found(html), patterns_found(html)
    assert "chapters/01_data.html" in names
    assert "_sources/chapters/01_data.ipynb" in names
    assert "_sources/chapters/01_data.ipynb" in pictures
    assert any(name.startswith("_images/") for name in pictures)
    with pytest.raises(InputError, match=r"01_data\.html: .* of the hospital role"):
        check_publishable(html, leaking)
