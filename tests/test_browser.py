"""A built book in a real browser: pictures load, nothing complains, and nothing is asked of another host."""

import os
from pathlib import Path

import check_book
import pytest
import small_book


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
    icon = '<link rel="icon" href="a.svg">'
    links = "".join(f'<a href="{name}.html">{name}</a>' for name in check_book.CHAPTERS)
    (folder / "index.html").write_text(f"{icon}{links}", encoding="utf-8")
    for name in check_book.CHAPTERS:
        text = f'{icon}<article><img src="a.svg">{bodies.get(name, "")}</article>'
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


def test_checker_notices_what_is_wrong(tmp_path, capsys):
    bodies = {
        "01_data": '<img src="gone.png">',
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
        "undefinedName is not defined",
        "asks another host: http://192.0.2.1/a",
        "04_classifier_training: the chapter has no picture",
        "05_results.html: does not open",
    ):
        assert problem in said


def test_checker_passes_a_whole_book(tmp_path, capsys):
    assert check_book.main([str(write_pages(tmp_path, {}))]) == 0
    assert "6 pages, 5 chapters, 5 pictures, 0 problems" in capsys.readouterr().out
