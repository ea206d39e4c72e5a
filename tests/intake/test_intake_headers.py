"""What headers say, in the words of many languages and vendors: each case is told as a person would tell it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from told_headers import RESULT, outcome, table, told

from cxrlib.intake import judgement, words
from cxrlib.intake.pixels import turn_upright


def test_every_header_is_told_as_a_person_would():
    cases = told()
    assert sum(bool(case.before) for case in cases) == 61
    assert len(cases) > 2 * 61
    wrong = [f"{case.attributes}: found {case.now}, expected {case.expected}" for case in cases if not case.right]
    assert not wrong, "\n".join(wrong)
    assert RESULT.read_text(encoding="utf-8") == table(cases), "python tests/told_headers.py writes it"


@pytest.mark.parametrize(
    ("attributes", "view"),
    [({"ViewPosition": "PA UPRIGHT"}, "PA"), ({"ViewPosition": "AP SUPINE"}, "AP"),
     ({"ViewPosition": "ANTEROPOSTERIOR"}, "AP"), ({"ViewPosition": "FRONTAL"}, ""), ({"ViewPosition": ""}, ""),
     ({"ViewPosition": "", "SeriesDescription": "Thorax a.p."}, "AP"),
     ({"ViewPosition": "", "StudyDescription": "胸部后前位"}, "PA"),
     ({"ViewPosition": "PA", "SeriesDescription": "Chest AP"}, "PA")],
)  # fmt: skip
def test_the_view_is_kept(attributes, view):
    assert outcome(attributes)[1].view == view


def test_what_is_not_said_is_noted():
    assert outcome({"ViewPosition": "", "BodyPartExamined": ""})[1].note == "part not said; view not said"
    assert outcome({})[1].note == ""


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("ViewCodeSequence", "R-10206", "AP"), ("ViewCodeSequence", "272479007", "PA"),
     ("ViewCodeSequence", "399173006", judgement.OTHER_VIEW),
     ("ViewCodeSequence", "R-10236", judgement.OTHER_VIEW), ("ViewCodeSequence", "399110001", judgement.OTHER_VIEW),
     ("ViewCodeSequence", "399135007", judgement.OTHER_VIEW), ("ViewCodeSequence", "399033003", ""),
     ("AnatomicRegionSequence", "816094009", ""), ("AnatomicRegionSequence", "122495006", judgement.OTHER_PART),
     ("AnatomicRegionSequence", "113197003", judgement.OTHER_PART), ("AnatomicRegionSequence", "416550000", "")],
)  # fmt: skip
def test_codes_count_before_words(name, code, expected):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code, "SCT"
    found, told = outcome({"ViewPosition": "", "BodyPartExamined": "", name: [item]})
    assert expected == (told.view if told else found)


@pytest.mark.parametrize("turn", ["", *judgement.TURN_NOTES])
def test_a_film_that_hangs_otherwise_is_put_right(turn):
    """A film whose pixels name their places on the patient: head or feet, right or left."""
    rows, columns = turn or "LF"
    place = {"R": (0, -1), "L": (0, 1), "H": (-1, 0), "F": (1, 0)}
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stored = np.zeros((3, 2) if rows in "HF" else (2, 3), np.uint8)
    for (row, column), grey in np.ndenumerate(upright):
        along = [place[letter][0] * (row - 0.5) + place[letter][1] * (column - 1) for letter in (columns, rows)]
        stored[tuple(round(value + (size - 1) / 2) for value, size in zip(along, stored.shape, strict=True))] = grey
    assert np.array_equal(np.asarray(turn_upright(Image.fromarray(stored), turn)), upright)


def test_undeclared_encodings_are_tried():
    for text, encoding in (("胸部侧位", "gb18030"), ("Грудная клетка боковая", "cp1251"), ("Tórax perfil", "utf-8")):
        assert {"chest", "lateral"} <= words.meanings(text.encode(encoding).decode("latin-1"))


def test_the_table_has_many_languages_and_no_word_of_two_meanings():
    meanings: dict[str, set[str]] = {}
    languages = set()
    with open(Path(words.__file__).with_name(words.TABLE_FILE), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            languages |= set(row["language"].split())
            for entry in row["words"].split(","):
                meanings.setdefault(words.plain(entry), set()).add(row["meaning"])
    assert {"en", "de", "fr", "es", "pt", "it", "nl", "sv", "pl", "tr", "ru", "zh", "ja", "ko"} <= languages
    assert "" not in meanings
    assert {entry: several for entry, several in meanings.items() if len(several) > 1} == {}
