"""What headers say, in the words of many languages and vendors: each case is told as a person would tell it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from dicom_films import film, ramp
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxrlib.intake import header, judgement, words
from cxrlib.intake.header import Skipped
from cxrlib.intake.pixels import turn_upright
from cxrlib.intake.pseudonyms import Pseudonyms

# `expected` begins the reason, or names it shortly; `attributes` replace those of a plain PA film of the chest.
SHORT = {
    "can't tell view": judgement.UNCLEAR_VIEW,
    "can't tell part": judgement.UNCLEAR_PART,
    "made": judgement.MADE_IMAGE,
    "test": judgement.TEST_IMAGE,
}
CASES = Path(__file__).with_name("header_cases.csv")
PSEUDONYMS = Pseudonyms(b"a key for nobody's films")


class Unchecked(Dataset):
    """Attributes as a vendor may write them, not as the standard allows."""

    def __init__(self, whole: Dataset, attributes: dict) -> None:
        super().__init__(whole)
        self.file_meta, self._given = whole.file_meta, attributes

    def get(self, name, default=None):
        if name not in self._given:
            return super().get(name, default)
        value = self._given[name]
        return MultiValue(str, value) if isinstance(value, list) and isinstance(value[0], str) else value


def told(dataset: Dataset) -> header.Header:
    """As `read_header` does; without a label, a film of nobody is nobody's."""
    found = header.describe(dataset, header.keys_of(dataset, "file", PSEUDONYMS))
    if not found.patient_id:
        raise Skipped(header.NO_ID)
    return found


def outcome(attributes: dict) -> tuple[str, header.Header | None]:
    whole = outcome.whole = getattr(outcome, "whole", None) or film(ramp(4, 4), bits=12)
    try:
        found = told(Unchecked(whole, attributes))
        return found.reason or "used", None if found.reason else found
    except Skipped as skipped:
        return skipped.reason, None


def test_every_header_is_told_as_a_person_would():
    with open(CASES, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 2 * 61
    wrong = []
    for row in rows:
        expected = SHORT.get(row["expected"], row["expected"])
        found, _ = outcome(json.loads(row["attributes"]))
        if not found.startswith(expected):
            wrong.append(f"{row['attributes']}: found {found}, expected {expected}")
    assert not wrong, "\n".join(wrong)


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
