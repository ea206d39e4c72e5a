"""A built book in a real browser: pictures load, nothing complains, and nothing is asked of another host."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import check_book
import pytest
import small_book
from axe_playwright_python.sync_playwright import Axe

from cxrlib.publishing.pdf import pages_of, print_book, whole_book


@pytest.fixture(scope="module", autouse=True)
def browser():
    """Chromium; without it these tests are skipped, except in CI, where they fail."""
    if check_book.browser_path() is None:
        reason = f"no Chromium: looked for {', '.join(check_book.BROWSERS)} and in CHROMIUM"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)


def write_pages(folder: Path, bodies: dict[str, str]) -> Path:
    """A book of an index and five chapters, each with a picture and what `bodies` names for it."""
    picture = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    (folder / "a.svg").write_text(picture, encoding="utf-8")
    icon = '<link rel="icon" href="a.svg"><meta name="description" content="A book.">'
    links = " ".join(f'<a href="{name}.html">{name}</a>' for name in check_book.CHAPTERS)
    (folder / "index.html").write_text(f"{icon}{links}", encoding="utf-8")
    for name in check_book.CHAPTERS:
        text = f'{icon}<article><img src="a.svg" alt="A square">{bodies.get(name, "")}</article>'
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def test_small_book_is_whole(write_study_in):
    _, index = small_book.built(write_study_in)
    findings = check_book.check_book(index.parent)
    assert findings.problems == []
    assert findings.chapters == 5
    assert findings.pictures >= 6
    assert findings.pages >= 10


def test_small_book_fits_wide_and_narrow_windows(write_study_in):
    _, index = small_book.built(write_study_in)
    with check_book.served(index.parent) as address, check_book.opened_browser() as page:
        for name in ("index", "paper", "chapters/05_results"):
            page.goto(f"{address}/{name}.html")
            for width in (1280, 420):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        assert page.locator("math").first.bounding_box()["height"] > 10


@pytest.fixture
def chapter(write_study_in):
    """A chapter of the small book in a browser: its page, and what went wrong on it."""
    _, index = small_book.built(write_study_in)
    wrong = []
    with check_book.served(index.parent) as address, check_book.opened_browser() as page:
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/chapters/05_results.html")
        yield page
    assert wrong == []


def test_a_table_has_a_number_a_caption_and_a_file_and_tells_where_its_numbers_come_from(chapter):
    exhibit = chapter.locator(".exhibit")
    assert exhibit.locator("caption").inner_text().startswith("Table\u00a05.1 How good they are.")
    assert [cell.inner_text() for cell in exhibit.locator("thead th").all()] == ["model", "class", "recall (%)"]
    with chapter.expect_download() as download:
        exhibit.locator("a", has_text="CSV").first.click()
    rows = download.value.path().read_text(encoding="utf-8").splitlines()
    assert rows == ["model,class,recall (%)", "baseline,positive,40.2 (3–92)", "baseline,negative,'=7"]
    exhibit.locator("td").first.click()
    told = chapter.locator(".trace-box").inner_text()
    for part in ("40.2 (3–92)", "class: positive", "tables/table2.csv", "role = hospital", "classifier/baseline/seed"):
        assert part in told.replace("\u00a0", " ").replace("\u2060", "")
    chapter.keyboard.press("ArrowDown")
    assert "class: negative" in chapter.locator(".trace-box").inner_text()
    chapter.keyboard.press("Escape")
    assert chapter.locator(".trace-box").count() == 0


def test_a_threshold_is_moved_without_a_kernel(chapter):
    box = chapter.locator(".interactive").first
    assert "3 of 4" in box.inner_text()
    box.locator("input[type=range]").press("ArrowRight")
    assert "0 of 4" in box.inner_text()
    assert "Three of four are found." in chapter.locator("figcaption", has_text="A threshold").inner_text()


def test_the_ladder_of_arms_tells_areas_as_they_are_and_fits_a_phone(chapter):
    before, box = chapter.viewport_size, chapter.locator(".interactive", has_text="The ladder by another measure")
    for size in ({"width": 390, "height": 800}, before):
        chapter.set_viewport_size(size)
        arm = box.get_by_role("button", name="baseline 0.75")
        arm.focus()
        assert "area under ROC 0.75, 95 % interval 0.70 to 0.80" in box.locator("p").last.inner_text()
        assert arm.locator("circle").bounding_box()["x"] < size["width"] - 60
        assert box.locator(".is-wide").count() == 0
    box.locator("select").select_option("accuracy")
    assert box.get_by_role("button", name="baseline 81.0 %").count() == 1


def test_a_number_in_a_sentence_tells_where_it_comes_from(chapter):
    number = chapter.get_by_role("button", name="40.2", exact=True)
    assert number.locator("xpath=ancestor::p").inner_text() == "Of these, 40.2\u00a0% in 3 runs are found."
    number.press("Enter")
    told = chapter.locator(".trace-box").inner_text()
    for part in (
        "recall_positive: 0.402",
        "tables/table2.csv where role = hospital",
        "classifier/baseline/seed",
        "study.yaml",
    ):
        assert part in told
    chapter.keyboard.press("Escape")
    assert number.evaluate("button => button === document.activeElement")
    chapter.get_by_role("button", name="3", exact=True).click()
    assert "counted or computed" in chapter.locator(".trace-box").inner_text()


def test_a_film_is_seen_where_a_hand_points_at_the_map(chapter):
    under, picture = chapter.locator(".under-pointer"), chapter.get_by_alt_text("Films on a map")
    assert not under.is_visible()
    size = picture.bounding_box()
    picture.hover(position={"x": 0.3 * size["width"], "y": 0.35 * size["height"]})
    assert under.inner_text().strip() == "training film, negative"
    picture.hover(position={"x": 0.8 * size["width"], "y": 0.05 * size["height"]})
    assert not under.is_visible()
    box = chapter.locator(".interactive", has_text="Point at the map")
    box.locator("input[type=range]").press("ArrowRight")
    assert box.locator("figcaption").inner_text() == "training film, positive"


def test_what_is_wider_than_a_phone_says_so_also_where_it_was_drawn_by_the_page(chapter):
    before = chapter.viewport_size
    chapter.set_viewport_size({"width": 390, "height": 800})
    wide = chapter.locator(".interactive .exhibit-scroll", has=chapter.locator("table")).first
    wide.scroll_into_view_if_needed()
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    chapter.wait_for_function("document.querySelector('.interactive .exhibit-scroll.is-wide table')")
    curves = chapter.locator(".interactive .exhibit-scroll", has=chapter.locator("svg")).first
    assert curves.evaluate("box => box.scrollWidth <= box.clientWidth"), "one picture below the other"
    chapter.set_viewport_size(before)


def test_a_picture_opens_and_code_unfolds(chapter):
    chapter.locator(".enlarge").first.click()
    assert chapter.locator("dialog.enlarged img").is_visible()
    chapter.get_by_role("button", name="close").click()
    chapter.locator("dialog.enlarged").wait_for(state="detached")
    code = chapter.locator("details.hide pre").first
    assert not code.is_visible()
    chapter.get_by_role("button", name="Show all code").click()
    assert code.is_visible()


@pytest.mark.parametrize("word", ["license", "AUC"])
def test_a_search_knows_other_words_for_a_thing_and_has_excerpts_from_a_folder_too(write_study_in, word):
    _, index = small_book.built(write_study_in)
    with check_book.opened_browser() as page:
        page.goto(f"{(index.parent / 'search.html').as_uri()}?q={word}")
        page.locator("#search-results li p.context").first.wait_for()
        page.get_by_text("Search finished").wait_for()
        found = [link.get_attribute("href") for link in page.locator("#search-results li > a").all()]
        assert any("tables.html" in link if word == "AUC" else "about.html" in link for link in found), found


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(write_study_in, scheme):
    _, index = small_book.built(write_study_in)
    names = ["index.html", "search.html", *(f"chapters/{name}.html" for name in check_book.CHAPTERS)]
    found = []
    with check_book.served(index.parent) as address, check_book.opened_browser() as page:
        page.emulate_media(color_scheme=scheme)
        for name in names:
            page.goto(f"{address}/{name}")
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            for wrong in Axe().run(page).response["violations"]:
                if wrong["impact"] in ("serious", "critical"):
                    found += [f"{name}: {wrong['id']}: {node['html'][:120]}" for node in wrong["nodes"]]
    assert found == []


def test_the_book_prints_whole(write_study_in):
    study, _ = small_book.built(write_study_in)
    assert print_book(study).read_bytes().startswith(b"%PDF-")
    text = whole_book(study.build_folder / "html", pages_of(study.build_folder / "source"))
    assert text.count('class="print-page"') == len(pages_of(study.build_folder / "source"))
    places = set(re.findall(r'id="([^"]+)"', text))
    assert {unquote(place) for place in re.findall(r'href="#([^"]+)"', text)} <= places
    assert "<details" not in text


def test_checker_notices_what_is_wrong(tmp_path, capsys):
    bodies = {
        "01_data": '<img src="gone.png"><table><tr><th></th></tr></table><p style="width: 500px">wide</p>'
        '<table><tr><td style="width: 2em; overflow-wrap: anywhere"><code>baseline</code></td></tr></table>',
        "02_gan_training": "<script>undefinedName()</script>",
        "03_synthesis_review": '<script>fetch("http://192.0.2.1/a")</script>',
    }
    folder = write_pages(tmp_path, bodies)
    (folder / "04_classifier_training.html").write_text("<p>no picture</p>", encoding="utf-8")
    (folder / "05_results.html").unlink()
    assert check_book.main([str(folder)]) == 1
    said = capsys.readouterr().out
    for problem in (
        "picture does not load",
        "a picture without a description",
        "a table without a caption",
        "a header without words",
        "a name broken within its words: baseline",
        "01_data.html: 508 pixels wide in a window of 390",
        "undefinedName is not defined",
        "asks another host: http://192.0.2.1/a",
        "04_classifier_training: the chapter has no picture",
        "05_results.html: does not open",
    ):
        assert problem in said


def test_checker_passes_a_whole_book(tmp_path, capsys):
    assert check_book.main([str(write_pages(tmp_path, {}))]) == 0
    assert "6 pages, 5 chapters, 5 pictures, 0 problems" in capsys.readouterr().out
