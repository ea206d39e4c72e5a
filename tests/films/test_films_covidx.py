"""A COVIDx tree beside its official lists."""

import numpy as np
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.covidx import compare_with_lists, labels_path, patient_counts, read_covidx, read_labels
from cxrlib.films.settings import CovidxSource


def covidx(folder, split="test", **settings):
    return CovidxSource.model_validate({"reader": "covidx", "folder": folder, "split": split, **settings})


@pytest.fixture
def tree(tmp_path):
    """Ten listed images: one missing, one empty, two cut short, one that is no image; and two that no list names."""
    random = np.random.default_rng(0)
    lines = []
    (tmp_path / "test" / "inner").mkdir(parents=True)
    for number in range(10):
        name = f"film{number}.{'jpg' if number % 2 else 'png'}"
        Image.fromarray(random.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / "test" / name)
        lines.append(f"COVID {number // 2} {name} {'positive' if number < 4 else 'negative'} sirm")
    (tmp_path / "test_COVIDx8B.txt").write_text("\n".join(lines) + "\n")
    test = tmp_path / "test"
    (test / "film0.png").unlink()
    (test / "film1.jpg").write_bytes(b"")
    for cut in ("film2.png", "film3.jpg"):
        (test / cut).write_bytes((test / cut).read_bytes()[:-100])
    (test / "film4.png").write_text("no film")
    (test / "stranger.png").write_bytes((test / "film6.png").read_bytes())
    (test / "inner" / "Thumbs.db").write_bytes(b"x")
    return tmp_path


def test_every_file_is_accounted_for(tree):
    found = compare_with_lists(covidx(tree))
    assert found.problems == {
        "missing": {"film0.png": ""},
        "unreadable": {"film4.png": "not an image file"},
        "wrong size": {
            "film1.jpg": "empty file (0 bytes)",
            "film2.png": "cut short: its PNG end mark is not there",
            "film3.jpg": "cut short: its JPEG end mark is not there",
        },
        "unexpected": {"stranger.png": "", "inner/Thumbs.db": ""},
    }
    lines = found.summary().splitlines()
    assert "9 of 10 images present (3 of 4 positive, 6 of 6 negative)" in lines[0]
    assert "10 images (4 positive, 6 negative) of 5 patients" in lines[1]
    assert lines[2] == "  missing: 1: film0.png"
    assert lines[3] == "  unreadable: 1: film4.png (not an image file)"
    assert lines[4].startswith("  wrong size: 3: film1.jpg (empty file (0 bytes)), film2.png (cut short")
    assert lines[5] == "  unexpected: 2: stranger.png, inner/Thumbs.db"


def test_a_whole_tree_is_complete_whatever_lies_beside_it(tree):
    names = ["film5.jpg", "film6.png"]
    (tree / "test_COVIDx8B.txt").write_text("".join(f"1 {name} positive sirm\n" for name in names))
    found = compare_with_lists(covidx(tree))
    assert [len(files) for files in found.problems.values()] == [0, 0, 0, 9]
    assert "missing: none" in found.summary()


def test_a_patient_with_both_labels_is_counted_under_each_and_said(tree):
    (tree / "test_COVIDx8B.txt").write_text("p a.png positive sirm\np b.png negative sirm\nq c.png negative rsna\n")
    found = compare_with_lists(covidx(tree))
    assert patient_counts(found.table) == {"by_label": {"negative": 2, "positive": 1}, "distinct": 2, "both_labels": 1}
    assert (
        "2 patients, 1 of them with both labels (counted under each label, as Schaudt et al. 2021 do, 3)"
        in found.summary()
    )


def test_only_the_listed_files_are_needed_and_missing_ones_have_to_be_allowed(tree):
    missing, empty = (
        f"1 of the 10 images in test_COVIDx8B.txt are {what}, the first is test/" for what in ("missing", "empty")
    )
    with pytest.raises(InputError) as caught:
        read_covidx(covidx(tree))
    assert f"{missing}film0.png; {empty}film1.jpg; add them, or set `allow_missing: true`" in str(caught.value)
    listing = read_covidx(covidx(tree, allow_missing=True))
    assert listing.expected == 10
    assert [problem["reason"] for problem in listing.unreadable] == ["missing", "empty file (0 bytes)"]
    assert listing.unexpected == ("test/stranger.png", "test/inner/Thumbs.db")


def test_a_list_cannot_name_files_outside_its_split(tree):
    (tree / "secret.png").write_bytes((tree / "test" / "film6.png").read_bytes())
    (tree / "test" / "link.png").symlink_to(tree.parent)
    lines = ["1 ../../secret.png positive sirm", "2 /etc/hosts negative rsna", "3 link.png negative rsna"]
    (tree / "test_COVIDx8B.txt").write_text("\n".join(lines))
    found = compare_with_lists(covidx(tree))
    refused = found.problems["unreadable"]
    assert all(reason.startswith("refused") for reason in refused.values())
    assert list(refused) == ["../../secret.png", "link.png"]
    # Below the split's folder, `/etc/hosts` is a name like any other.
    assert list(found.problems["missing"]) == ["/etc/hosts"]


def test_the_real_partial_tree_is_found_as_documented(real_films):
    test, train = (compare_with_lists(covidx(real_films / "covidx8b", split)) for split in ("test", "train"))
    assert [len(files) for files in test.problems.values()] == [84, 0, 0, 0]
    assert (len(test.present), len(test.table)) == (316, 400)
    assert test.present["label"].value_counts().to_dict() == {"positive": 116, "negative": 200}
    assert (len(train.present), len(train.table)) == (64, 15_952)
    assert (
        "of 14,968 patients, 10 of them with both labels (counted under each label, as Schaudt et al. 2021 do, 14,978)"
        in train.summary()
    )


def test_the_lists_alone_give_the_paper_s_table(real_films):
    train, test = (read_labels(labels_path(real_films / "covidx8b", split)) for split in ("train", "test"))
    assert train["label"].value_counts().to_dict() == {"negative": 13_794, "positive": 2_158}
    assert test["label"].value_counts().to_dict() == {"negative": 200, "positive": 200}
    counts = patient_counts(train)
    assert counts == {"by_label": {"negative": 13_651, "positive": 1_327}, "distinct": 14_968, "both_labels": 10}
    assert sum(counts["by_label"].values()) == 14_978
