"""`cxr publish`: a checked copy in place of the old one, or nothing at all."""

import base64
import errno
import hashlib
import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.files import write_text
from cxrlib.publishing import limits
from cxrlib.publishing.publish import MARK
from cxrlib.publishing.publish import publish_book as publish
from cxrlib.records import write_record
from cxrlib.study import REPOSITORY, load_study


def publish_book(study, target=None, name="Ada Lovelace"):
    return publish(study, target, sign=lambda lines: name)


@pytest.fixture
def study(tiny_study_file):
    """A study, all of it publishable, with a book of one page."""
    made = load_study(tiny_study_file)
    write_text(made.build_folder / "html" / "index.html", "<p>first</p>")
    write_text(made.build_folder / "html" / "_static" / "a.css", "a { color: red }")
    return made


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_holds_the_book_and_nothing_is_left_beside_it(study, tmp_path):
    index = publish_book(study, tmp_path / "out" / "book")
    assert index == tmp_path / "out" / "book" / "index.html"
    copied = files(index.parent)
    assert copied.pop(MARK) == b"tiny\n"
    assert copied == files(study.build_folder / "html")
    assert [path.name for path in index.parent.parent.iterdir()] == ["book"]


def test_a_program_is_told_what_left_and_who_signed(study, tmp_path):
    command = ["publish", str(study.file), "--to", str(tmp_path / "book"), "--json"]
    told = json.loads(CliRunner().invoke(app, [*command, "--responsible", "Ada Lovelace"]).stdout)
    assert (told["responsible"], told["index"]) == ("Ada Lovelace", str(tmp_path / "book" / "index.html"))
    assert set(told["files_sha256"]) == {"index.html", MARK, "_static/a.css"}
    assert isinstance(CliRunner().invoke(app, command).exception, InputError), "nobody signed"


def test_without_a_target_the_book_goes_to_published(study):
    assert publish_book(study) == study.root / "published" / "tiny" / "index.html"


def test_publishing_again_replaces_the_whole_old_book(study, tmp_path):
    publish_book(study, tmp_path / "book")
    write_text(study.build_folder / "html" / "index.html", "<p>second</p>")
    (study.build_folder / "html" / "_static" / "a.css").unlink()
    publish_book(study, tmp_path / "book")
    assert set(files(tmp_path / "book")) == {"index.html", MARK}
    assert (tmp_path / "book" / "index.html").read_text() == "<p>second</p>"


def test_an_empty_folder_may_be_the_target(study, tmp_path):
    (tmp_path / "empty").mkdir()
    publish_book(study, tmp_path / "empty")


def test_a_relative_target_counts_from_here(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert publish_book(study, study.root.relative_to(tmp_path) / "here") == tmp_path / "here" / "index.html"


@pytest.mark.parametrize(
    "target", ["results", "results/tiny", "results/tiny/book", "_build/tiny/html", "_build/x", "."]
)
def test_private_folders_and_those_around_them_are_no_targets(study, target):
    with pytest.raises(InputError, match="overlaps with"):
        publish_book(study, study.root / target)
    assert not (study.root / "results").exists()


def test_somebody_else_s_folder_is_left_alone(study, tmp_path):
    write_text(tmp_path / "thesis" / "index.html", "mine")
    with pytest.raises(InputError, match="no book of `cxr publish`"):
        publish_book(study, tmp_path / "thesis")
    assert files(tmp_path / "thesis") == {"index.html": b"mine"}


def test_files_and_links_are_no_targets(study, tmp_path):
    write_text(tmp_path / "file", "text")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name, said in (("file", "a file; name a folder"), ("link", "a link")):
        with pytest.raises(InputError, match=said):
            publish_book(study, tmp_path / name)


def test_links_in_the_book_are_refused(study, tmp_path):
    write_text(tmp_path / "secret.txt", "secret")
    (study.build_folder / "html" / "notes.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match="a link"):
        publish_book(study, tmp_path / "book")
    assert not (tmp_path / "book").exists()


def test_a_refused_book_leaves_the_old_one(study, tmp_path):
    publish_book(study, tmp_path / "book")
    before = files(tmp_path / "book")
    write_text(study.build_folder / "html" / "index.html", '<script src="https://cdn.example/a.js"></script>')
    with pytest.raises(InputError, match=r"loads https://cdn\.example"):
        publish_book(study, tmp_path / "book")
    assert files(tmp_path / "book") == before
    assert not list(tmp_path.glob(".book-*"))


def test_the_copy_is_checked_and_not_the_original(study, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("cxrlib.publishing.publish.check_publishable", lambda folder, study: seen.append(folder))
    publish_book(study, tmp_path / "book")
    assert len(seen) == 1
    assert seen[0] != study.build_folder / "html"
    assert seen[0].parent.parent == tmp_path


def test_a_book_that_is_not_built_is_named(tiny_study_file, tmp_path):
    with pytest.raises(InputError, match="no book there yet; make it with `cxr report tiny`"):
        publish_book(load_study(tiny_study_file), tmp_path / "book")


def test_a_folder_that_can_t_be_written_is_named(study, tmp_path):
    write_text(tmp_path / "file", "text")
    with pytest.raises(InputError, match="can't be written"):
        publish_book(study, tmp_path / "file" / "book")


def test_who_answers_for_it_is_asked_told_what_leaves_and_kept(study, tmp_path):
    html, told = study.build_folder / "html", []
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(html / "a.png")
    caption = "<figcaption>beside those of the <b>hospital</b><a href='#1'>#</a></figcaption>"
    figure = f"<figure><img src='a.png' alt='Synthetic films'>{caption}</figure>"
    write_text(html / "index.html", f"{figure}<table></table><a href='index.html'>1</a>")
    publish(study, tmp_path / "book", sign=lambda lines: told.extend(lines) or "  Ada  Lovelace ")
    said = "\n".join(told)
    assert "1 pages, 1 tables, 1 pictures" in said
    assert "1 pictures: hospital, synthetic" in said
    sheet = study.results.releases / "sheet.html"
    assert str(sheet) in said
    shown = sheet.read_text(encoding="utf-8")
    assert "1 · index.html · hospital, synthetic<br>Synthetic films beside those of the hospital<" in shown
    with Image.open(io.BytesIO(base64.b64decode(shown.split("base64,")[1].split('"')[0]))) as seen:
        assert seen.size == (30, 20)
    (record,) = (json.loads(path.read_text()) for path in study.results.releases.glob("*.json"))
    assert record["responsible"] == "Ada Lovelace"
    assert record["pictures"] == [{"file": "a.png", "page": "index.html", "films": "hospital, synthetic"}]
    published = files(tmp_path / "book")
    assert record["files_sha256"] == {name: hashlib.sha256(data).hexdigest() for name, data in published.items()}


@pytest.mark.parametrize("name", ["", "   ", "17", "a\0b"])
def test_nobody_answers_for_it_so_it_stays(study, tmp_path, name):
    with pytest.raises(InputError, match="--responsible"):
        publish_book(study, tmp_path / "book", name)
    assert not (tmp_path / "book").exists()
    assert not list(study.results.releases.glob("*.json"))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("<!DOCTYPE html><html><p>cut", "cut off"),
        ("<img src='gone.png'>", "refers to gone.png"),
        ("<a href='chapters/05.html#top'>5</a>", "refers to chapters/05.html"),
    ],
)
def test_a_damaged_book_is_refused(study, tmp_path, page, said):
    write_text(study.build_folder / "html" / "index.html", page)
    with pytest.raises(InputError, match=said):
        publish_book(study, tmp_path / "book")


def test_templates_of_the_theme_are_no_pages(study, tmp_path):
    write_text(study.build_folder / "html" / "_static" / "macros.html", "<a href=\"{{ pathto('a.css', 1) }}\">")
    publish_book(study, tmp_path / "book")


def test_a_full_disk_is_told_in_a_line(study, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("cxrlib.publishing.publish.shutil.copyfile", full)
    with pytest.raises(InputError, match="No space left") as caught:
        publish_book(study, tmp_path / "book")
    assert len(str(caught.value)) < 500
    assert not list(tmp_path.glob("*book*"))


def test_who_may_read_the_copy_is_decided_when_it_is_made(study, tmp_path):
    before = os.umask(0o077)
    try:
        publish_book(study, tmp_path / "book")
    finally:
        os.umask(before)
    made = [tmp_path / "book", *(tmp_path / "book").rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
    publish_book(study, tmp_path / "book")
    assert (tmp_path / "book").stat().st_mode & 0o777 == 0o777 & ~before


def test_an_account_without_a_home_publishes_too(study, tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    publish_book(study, tmp_path / "book")


def test_the_limits_are_told_in_numbers():
    lines = limits.limits_lines()
    assert re.search(r"missed \d+ of \d+ shown as they are, at worst \d+ of \d+", lines[0])
    assert any("drawn as pixels" in line for line in lines)
    assert all(line in limits.limits_text() for line in lines)


def test_readme_and_the_benchmark_s_table_tell_what_publish_tells():
    assert limits.summary() in (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    told = (REPOSITORY / "benchmarks" / "results" / "guard.md").read_text(encoding="utf-8")
    for row in limits.measured():
        assert f"| {row['kind']} | {row['missed']} of {row['shown']} |" in told


@pytest.mark.parametrize("text", ["", "<html>"])
def test_an_empty_or_cut_book_is_not_published(tiny_study_file, tmp_path, text):
    study = load_study(tiny_study_file)
    index = study.build_folder / "html" / "index.html"
    index.parent.mkdir(parents=True)
    index.write_text("<html></html>")
    write_record(study.build_folder / "book.json", {}, {}, 0.0, outputs=[index])
    index.write_text(text)
    with pytest.raises(InputError, match=r"not the book that was built[^`]*`cxr report tiny`"):
        publish_book(study, tmp_path / "out")
