"""Who answers for a study, what reviewers ask, and what the cards say: given, known or left open, never made up."""

import csv
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxrlib.artifacts import CHAPTERS
from cxrlib.errors import InputError
from cxrlib.files import write_json
from cxrlib.finished import made_with
from cxrlib.publishing import about
from cxrlib.publishing.about import PAGES, UNWRITTEN, about_sentences, citation, facts
from cxrlib.publishing.api import ROOMS, api_lists
from cxrlib.publishing.cards import card_sentences
from cxrlib.publishing.guard import check_publishable
from cxrlib.publishing.settings import AboutSettings
from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import unit_of

sys.path.append(str(REPOSITORY / "book" / "_ext"))
import heads

ABOUT = {
    "authors": [
        {"name": "Ada Muster", "affiliation": "Radiology | Ulm", "orcid": "0000-0002-1825-0097"},
        {"name": "Bo"},
    ],
    "doi": "10.5281/zenodo.12",
    "ethics": "Vote 12/34 <b>of</b> the committee",
    "films": {"hospital": {"eligibility": "Adults with a film on admission"}},
}
FOLDER = {"reader": "folder", "folder": "/data/secret-ward-7"}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """The repository's pages and chapters, as a book is assembled of them."""
    folder = tmp_path / "pages"
    (folder / "chapters").mkdir(parents=True)
    for file in (REPOSITORY / "book").glob("*.md"):
        (folder / file.name).symlink_to(file)
    for name in CHAPTERS:
        (folder / "chapters" / f"{name}.ipynb").symlink_to(REPOSITORY / "notebooks" / f"{name}.ipynb")
    return folder


def rows(name: str) -> list[dict[str, str]]:
    with open(REPOSITORY / "cxrlib" / "publishing" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counts(text: str) -> dict[str, list[int]]:
    found = re.findall(r"^\| (CLAIM 2024|TRIPOD\+AI|STARD-AI) \| (\d+) \| (\d+) \| (\d+) \|$", text, flags=re.MULTILINE)
    return {name: [int(number) for number in numbers] for name, *numbers in found}


def test_every_item_is_there_once_and_its_topic_is_known():
    items = [(row["guideline"], row["item"]) for row in rows("checklists")]
    assert len(items) == len(set(items))
    # CLAIM has 44 items; TRIPOD+AI 27, 52 with their parts; STARD-AI 40, 48 with their parts.
    numbered = {name: {int(re.match(r"\d+", item)[0]) for other, item in items if other == name} for name, _ in items}
    assert {name: max(found) for name, found in numbered.items()} == {"CLAIM 2024": 44, "TRIPOD+AI": 27, "STARD-AI": 40}
    assert all(found == set(range(1, max(found) + 1)) for found in numbered.values())
    assert {row["topic"] for row in rows("checklists")} - {""} == {row["topic"] for row in rows("answers")}


def test_answers_name_facts_and_headings_that_there_are(tiny_study_file, pages):
    known = facts(load_study(tiny_study_file))
    for row in rows("answers"):
        assert set(re.findall(r"\{(\w+)\}", row["said"])) <= set(known), row
        for place in filter(None, (place.strip() for place in row["where"].split(";"))):
            page, _, heading = place.partition("#")
            assert page in PAGES or page in CHAPTERS, place
            assert not heading or "#" in about._link(place, pages), f"{place}: no such heading"


def test_what_the_study_file_says_is_counted_and_the_rest_is_left_to_the_authors(write_tiny_study, pages):
    hospital = {"data": {"hospital": FOLDER}}
    bare = counts(about_sentences(load_study(write_tiny_study(**hospital)), pages)["checklist_counts"])
    said = about_sentences(load_study(write_tiny_study(**hospital, about=ABOUT)), pages)
    more = counts(said["checklist_counts"])
    # Ethics are asked for by TRIPOD+AI and STARD-AI, eligibility by all three.
    assert [more[name][1] - bare[name][1] for name in more] == [1, 2, 2]
    for name, (items, answered, open_) in more.items():
        key = {"CLAIM 2024": "claim", "TRIPOD+AI": "tripod", "STARD-AI": "stard"}[name]
        assert items == answered + open_
        assert said[f"checklist_{key}"].count(UNWRITTEN) == open_
    assert "Vote 12/34 &lt;b>of&lt;/b> the committee" in said["about_facts"]
    assert "Radiology \\| Ulm" in said["about_authors"]
    assert "| funding | *to be written by the authors* |" in said["about_facts"]
    assert "secret-ward" not in "".join(said.values())


def test_films_that_are_simulated_have_no_patients(write_tiny_study, pages):
    simulated = about_sentences(load_study(write_tiny_study()), pages)
    assert "| 6c | Treatments | Does not apply: every film is simulated. |" in simulated["checklist_tripod"]
    real = about_sentences(load_study(write_tiny_study(data={"hospital": FOLDER})), pages)
    assert f"| 6c | Treatments | {UNWRITTEN} |" in real["checklist_tripod"]


def test_the_citation_is_bibtex_of_what_was_given(write_tiny_study):
    text = citation(load_study(write_tiny_study(about=ABOUT, title="Films {of} ours")))
    assert "title = {Films of ours}," in text
    assert "author = {Ada Muster and Bo}," in text
    assert "doi = {10.5281/zenodo.12}," in text
    assert "year" not in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"doi": "https://doi.org/10.1/x"}, "about.doi"),
        ({"authors": [{"name": "A", "orcid": "12"}]}, "about.authors.1.orcid"),
        ({"ethic": "x"}, "did you mean `ethics`"),
        ({"films": {"hospitals": {}}}, "about.films"),
    ],
)
def test_slips_are_named(write_tiny_study, wrong, said):
    with pytest.raises(InputError, match=re.escape(said)):
        load_study(write_tiny_study(about=wrong))


def test_cards_say_what_the_records_say(write_tiny_study):
    study = load_study(write_tiny_study(about=ABOUT))
    assert card_sentences(study)["generator_card"] == "Nothing of this is made yet."
    made = {
        "films": 1234, "images_seen": 9000, "snapshot_images": 6000, "snapshot_kid": None,
        "generator_sha256": "ab" * 32,
    }  # fmt: skip
    write_json(study.results.generator_record("positive", "all"), made)
    write_json(
        study.results.classifier_record("baseline", 0, "all"), {"training_images": {"negative": 5, "positive": 3}}
    )
    table2 = study.results.table("table2")
    table2.parent.mkdir()
    header = "role,arm,operating_point,roc_auc,roc_auc_low,roc_auc_high"
    table2.write_text(f"{header}\nhospital,baseline,fixed,0.71,0.6,0.8\nvalidation,baseline,fixed,0.9,0.8,1\n")
    cards = card_sentences(study)
    assert "| positive | all | 1,234 | 9,000 | 6,000 | – | `abababababab` |" in cards["generator_card"]
    assert "| `baseline` | public films | 1 | 8 | 0.710 (0.600 to 0.800) |" in cards["classifier_card"]
    assert "| taken in and left out | Adults with a film on admission |" in cards["data_sheets"]
    assert "| when | Does not apply: every film is simulated. |" in cards["data_sheets"]


def test_the_page_of_the_library_names_what_may_be_called():
    lists = api_lists()
    assert "`table2(resampled)`: " in lists["api_evaluation"]
    assert "`load_study(study, root)`: Read and validate a study." in lists["api_ground"]
    assert "  - `_" not in "".join(lists.values())
    assert "`Results`: The tree `results/<study>/`." in lists["api_ground"]
    assert not re.findall(r"`: *$", "".join(lists.values()), flags=re.MULTILINE), "something says nothing of itself"
    page = (REPOSITORY / "book" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\{\{ (\w+) \}\}", page)) == set(lists) == {"api_ground", *(f"api_{room}" for room in ROOMS)}


def test_who_the_authors_are_concerns_the_book_alone(write_tiny_study):
    before, after = (load_study(write_tiny_study(**changes)) for changes in ({}, {"about": ABOUT}))
    for stage, key in (("data", ("hospital",)), ("tables", ()), ("chapter", ("01_data",))):
        assert made_with(before, unit_of(before, stage, key)) == made_with(after, unit_of(after, stage, key)), stage
    assert made_with(before, unit_of(before, "book", ())) != made_with(after, unit_of(after, "book", ()))


OFFERED = {
    "launch": {"repository": "ours/study", "jupyterhub": "https://hub.example.org/", "binder": True},
    "comments": {"repository": "ours/study", "repository_id": "R_1", "category": "Talk", "category_id": "DIC_1"},
}


def drawn(about, page="chapters/01_data"):
    """The body of a page of a book of a study with these settings."""
    asked = AboutSettings(**about).model_dump(include={"launch", "comments"}, exclude_none=True)
    config = SimpleNamespace(html_context={f"cxr_{name}": settings for name, settings in asked.items()})
    context = {"body": "<section><h1>The films</h1></section>"}
    heads.open_elsewhere(SimpleNamespace(config=config), page, "page.html", context, object())
    return context["body"]


def test_a_book_offers_to_be_run_and_discussed_only_where_the_study_file_says_so(tmp_path, write_tiny_study):
    assert drawn({}) == "<section><h1>The films</h1></section>"
    text = drawn(OFFERED)
    assert re.findall(r">(\w+)</a>", text) == ["JupyterHub", "Binder"]
    assert "https://mybinder.org/v2/gh/ours/study/main?labpath=notebooks%2F01_data.ipynb" in text
    assert (
        "hub.example.org/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fours%2Fstudy&amp;branch=main"
        in text
    )
    assert "Run this chapter" not in drawn(OFFERED, "about")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    asked, not_asked = (load_study(write_tiny_study(about=about)) for about in (OFFERED, {}))
    check_publishable(tmp_path, asked)
    with pytest.raises(InputError, match=r"loads https://giscus\.app/client\.js"):
        check_publishable(tmp_path, not_asked)
    (tmp_path / "page.html").write_text(f'{text}<script src="https://giscus.app/other.js"></script>', encoding="utf-8")
    with pytest.raises(InputError, match=r"loads https://giscus\.app/other\.js"):
        check_publishable(tmp_path, asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"launch": {"repository": "ours"}},
        {"launch": {"repository": "a/b", "jupyterhub": "http://hub.example.org"}},
        {"comments": {"repository": "ours/study"}},
    ],
)
def test_half_an_offer_is_refused(write_tiny_study, wrong):
    with pytest.raises(InputError, match="about"):
        load_study(write_tiny_study(about=wrong))
