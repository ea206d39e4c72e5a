"""The import's journal: what it knows of any number of files, in little memory."""

import tracemalloc
from pathlib import Path

import pytest

from cxrlib.errors import InputError
from cxrlib.intake.header import DAMAGED, Header
from cxrlib.intake.journal import Journal, Sighting


def import_files(journal: Journal, number: int) -> None:
    """Go through an import of so many files of half as many images, without any pixels."""
    journal.see((Sighting(b"folder/%07d" % n, 1, 1, "") for n in range(number)), lambda path: path.decode())
    for path in journal.without_header():
        image = str(int(path[-7:]) // 2)
        journal.note_header(
            path, Header(image_id=image, patient_id=image, keys={"patient_id": image, "file": path.decode()})
        )
    journal.note_labels((path, "positive", "") for path, *_ in journal.keyed())
    for path, *_ in journal.undecoded():
        journal.note_pixels(path, "")


def peak_bytes(folder: Path, number: int) -> int:
    journal = Journal(folder / f"{number}.sqlite", "settings")
    tracemalloc.start()
    import_files(journal, number)
    assert sum(1 for _ in journal.used()) == number // 2 == journal.count("image_id")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    journal.close()
    return peak


def test_memory_does_not_grow_with_the_files(tmp_path):
    """A thousand rows at a time take less than this; the paths alone of all files would take more."""
    assert peak_bytes(tmp_path, 20_000) < 1_250_000


def test_the_first_untried_file_of_each_image_comes_first(tmp_path):
    journal = Journal(tmp_path / "j.sqlite", "settings")
    journal.see((Sighting(path, 1, 1, "") for path in (b"c", b"a", b"b", b"z")), lambda path: path.decode())
    for path, image in ((b"a", "1"), (b"b", "1"), (b"c", "1"), (b"z", "2")):
        journal.note_header(
            path, Header(image_id=image, patient_id="p", keys={"patient_id": "p", "file": path.decode()})
        )
    assert list(journal.undecoded()) == [], "no film without a label"
    journal.note_labels((path, "positive", "") for path in (b"a", b"b", b"c", b"z"))
    assert list(journal.undecoded()) == [(b"a", "1", ""), (b"z", "2", "")]
    journal.note_pixels(b"a", DAMAGED)
    journal.note_pixels(b"z", "")
    assert list(journal.undecoded()) == [(b"b", "1", "")]
    journal.note_pixels(b"b", "")
    assert list(journal.undecoded()) == []
    assert {row["path"]: row["reason"] for row in journal.outcomes()} == {
        b"a": DAMAGED, b"b": "", b"c": "a copy of another file (same image id)", b"z": "",
    }  # fmt: skip


def test_a_changed_file_is_read_again_and_other_settings_start_afresh(tmp_path):
    journal = Journal(tmp_path / "j.sqlite", "settings")
    import_files(journal, 4)
    changed = [Sighting(b"folder/0000000", 1, 1, ""), Sighting(b"folder/0000002", 1, 2, "")]
    journal.see(changed, lambda path: path.decode())
    assert list(journal.without_header()) == [b"folder/0000002"]
    assert journal.count() == 2
    journal.close()
    assert Journal(tmp_path / "j.sqlite", "settings").count() == 2
    assert Journal(tmp_path / "j.sqlite", "other settings").count() == 0


def test_a_damaged_journal_is_named(tmp_path):
    (tmp_path / "j.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(InputError, match="remove it to import afresh"):
        Journal(tmp_path / "j.sqlite", "settings")
