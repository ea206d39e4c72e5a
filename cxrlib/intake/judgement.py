"""What a header says a film shows: the chest or not, from the front or not, and which way up; or that it can't tell.

Codes and positions are asked first, then the words that describe the series, last those of the whole study. Words of
the series count more than a body part or a position that a machine fills in: only they were meant for this film.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cxrlib.intake.words import HINTS, meanings, only_beside

if TYPE_CHECKING:
    from pydicom import Dataset

OTHER_PART = "another body part than the chest"
OTHER_VIEW = "not a frontal view"
UNCLEAR_PART = "can't tell whether it shows the chest"
UNCLEAR_VIEW = "can't tell whether it is a frontal view"
UNCLEAR = (UNCLEAR_PART, UNCLEAR_VIEW)
MADE_IMAGE = "an image made from a film (bones or soft tissue alone, marks of a program, a report)"
TEST_IMAGE = "a test image of the machine"
# What words and positions decide, and a person who looks at the film may decide otherwise.
JUDGED = (*UNCLEAR, OTHER_PART, OTHER_VIEW, MADE_IMAGE)

# Who typed what: the words of a series are about this film, those of a study about all its films.
SERIES_WORDS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
STUDY_WORDS = ("PerformedProcedureStepDescription", "StudyDescription", "RequestedProcedureDescription")
TAGS = [
    *SERIES_WORDS, *STUDY_WORDS, "DerivationDescription", "ImageType", "BodyPartExamined", "AnatomicRegionSequence",
    "ViewPosition", "ViewCodeSequence", "PatientOrientation", "PositionerPrimaryAngle", "DetectorPrimaryAngle",
]  # fmt: skip
# Codes that DICOM's current tables lack, in their words.
OLD_CODES = {
    "51185008": "chest", "T-D3000": "chest", "T-28000": "lung", "260421001": "frontal", "R-40888": "postero-anterior",
    "R-10214": "postero-anterior", "R-10206": "antero-posterior", "R-10236": "left lateral", "R-10232": "right lateral",
}  # fmt: skip
# Those that mean a side only as a position: elsewhere they are sides of the body, or millilitres.
LATERAL_POSITIONS = ("L", "R", "LEFT", "RIGHT", "ML", "LM", "RML", "LML")
CODE_TABLES = ("cid4010", "cid4031")  # views of projection radiography, anatomic regions (DICOM PS3.16)

NOT_SAID_VIEW, NOT_SAID_PART = "view not said", "part not said"


@dataclass(frozen=True)
class Judgement:
    """What the header says. With a `reason` the film is not used; `because` names what decided, and quotes nothing.

    `view` is AP, PA or empty. `turn` is the direction of rows and columns (PatientOrientation), where it is not that in
    which chest films are looked at; empty otherwise. `note` is for a person who looks at the film.
    """

    reason: str = ""
    because: str = ""
    view: str = ""
    turn: str = ""
    note: str = ""


def judge(dataset: "Dataset", certainly_a_film: bool) -> Judgement:
    """Judge a header of which `TAGS` were read. A film of uncertain kind must say that it shows the chest."""
    kind = _kind(dataset)
    if kind:
        return kind
    part = _part(dataset, certainly_a_film)
    if part.reason:
        return part
    view = _view(dataset)
    turn = turn_of(dataset)
    notes = [part.note, view.note, TURN_NOTES[turn] if turn else ""]
    return Judgement(view.reason, view.because, view.view, turn, "; ".join(note for note in notes if note))


def _kind(dataset: "Dataset") -> Judgement | None:
    """Whether it is no film at all but made from one, or of a phantom."""
    image_type = " ".join(str(value) for value in (dataset.get("ImageType") or [])[2:])
    said = [meanings(words(dataset, name)) for name in (*SERIES_WORDS, "DerivationDescription")] + [
        meanings(image_type)
    ]
    if any("test" in found for found in (*said, *(meanings(words(dataset, name)) for name in STUDY_WORDS))):
        return Judgement(TEST_IMAGE, "words")
    return Judgement(MADE_IMAGE, "words or image type") if any("made" in found for found in said) else None


def _part(dataset: "Dataset", certainly_a_film: bool) -> Judgement:
    series = _verdicts((meanings(words(dataset, name)) for name in SERIES_WORDS), _part_of)
    body_part = words(dataset, "BodyPartExamined")
    tags = _verdicts([meanings(body_part)], _part_of) | _codes(dataset, "AnatomicRegionSequence", _part_of)
    study = _verdicts((meanings(words(dataset, name)) for name in STUDY_WORDS), _part_of)
    for said, because in ((series, "words of the series"), (tags, "body part"), (study, "words of the study")):
        against = study if said is tags else set()
        if len(said) > 1 or (len(said) == len(against) == 1 and said != against):
            return Judgement(UNCLEAR_PART, f"{because} against each other or the study's")
        if said == {"other"}:
            return Judgement(OTHER_PART, because)
        if said == {"chest"}:
            return Judgement()
    if (body_part and not meanings(body_part) - HINTS) or not certainly_a_film:
        return Judgement(UNCLEAR_PART, "no known word for the body part")
    return Judgement(note=NOT_SAID_PART)


def _part_of(found: frozenset[str]) -> str:
    if found & {"bones", "other"}:
        return "other"
    return "chest" if "chest" in found else "other" if "abdomen" in found else ""


def _view(dataset: "Dataset") -> Judgement:
    position = words(dataset, "ViewPosition")
    placed = frozenset({"lateral"}) if position.upper() in LATERAL_POSITIONS else meanings(position)
    coded = [_code(item) for item in dataset.get("ViewCodeSequence") or []]
    said_by_series = [meanings(words(dataset, name)) for name in (*SERIES_WORDS, "BodyPartExamined")]
    said_by_study = [meanings(words(dataset, name)) for name in STUDY_WORDS]
    tags = _verdicts([placed], _view_of) | _codes(dataset, "ViewCodeSequence", _view_of) | _angles(dataset)
    if position and not (_view_of(placed) or placed & {"chest", "anywhere"} or only_beside(position)):
        tags.add("both")
    series, study = _verdicts(said_by_series, _view_of), _verdicts(said_by_study, _view_of)
    rows = rows_run(dataset)
    unclear = Judgement(UNCLEAR_VIEW, "position, codes, words or orientation against each other")
    named = next((view for said in ([placed], coded, said_by_series, said_by_study) if (view := _name(said))), "")
    if "other" in series and "frontal" not in series:
        return Judgement(OTHER_VIEW, "words of the series")
    if "other" in tags:
        return unclear if "frontal" in tags | series else Judgement(OTHER_VIEW, "view position or code")
    if "frontal" in tags | series:
        against = "other" in series or rows == "other" or (study == {"other"} and "frontal" not in series)
        return unclear if against else Judgement(view=named)
    if rows == "other":
        return Judgement(OTHER_VIEW, "rows run from front to back")
    if not series and not tags and study in ({"other"}, {"frontal"}):
        if study == {"frontal"}:
            return Judgement(view=named)
        return unclear if rows == "frontal" else Judgement(OTHER_VIEW, "words of the study")
    if rows == "frontal":
        return Judgement(note=NOT_SAID_VIEW)
    several = tags | series | study
    return Judgement(UNCLEAR_VIEW, "several views, or none clearly") if several else Judgement(note=NOT_SAID_VIEW)


def _view_of(found: frozenset[str]) -> str:
    """A view, `both` for words that name several; a frontal film of somebody lying on a side is none for this study."""
    frontal = bool(found & {"ap", "pa", "frontal"})
    if "special" in found or (found & {"lateral", "angle"} and not frontal):
        return "other"
    unclear = found & {"lateral", "angle"} or (found & {"two", "letter"} and not frontal)
    return "both" if unclear else "frontal" if frontal else ""


def _angles(dataset: "Dataset") -> set[str]:
    """`other` if the beam or the detector stood obliquely. An upright angle tells nothing: some machines give that of
    the tube in its room."""
    said = set()
    for name in ("PositionerPrimaryAngle", "DetectorPrimaryAngle"):
        with contextlib.suppress(ValueError):
            from_the_front = abs((float(words(dataset, name) or 0) + 90) % 180 - 90)
            said |= {"other"} if 25 <= from_the_front <= 65 else {"both"} if from_the_front > 65 else set()
    return said


def _name(said: Iterable[frozenset[str]]) -> str:
    names = frozenset().union(*said) & {"ap", "pa"}
    return next(iter(names)).upper() if len(names) == 1 else ""


def _verdicts(said: Iterable[frozenset[str]], verdict: Callable[[frozenset[str]], str]) -> set[str]:
    return {verdict(found) for found in said} - {""}


def _codes(dataset: "Dataset", name: str, verdict: Callable[[frozenset[str]], str]) -> set[str]:
    """The verdicts on the codes of a sequence; `other` for one that DICOM's tables know as something else."""
    items = dataset.get(name) or []
    said = {verdict(_code(item)) or ("other" if code_meaning(words(item, "CodeValue")) else "") for item in items}
    return said - {""}


def _code(item: "Dataset") -> frozenset[str]:
    """The meanings of a code, its modifiers included; one that DICOM's tables lack has the file's words."""
    own = meanings(code_meaning(words(item, "CodeValue")) or words(item, "CodeMeaning"))
    return own.union(*(_code(modifier) for part in item if part.VR == "SQ" for modifier in part.value))


@lru_cache
def code_meaning(value: str) -> str:
    """The English words of a code by DICOM's own tables, of SNOMED CT or the older SRT; empty if they lack it."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    if value in OLD_CODES:
        return OLD_CODES[value]
    asked = Code(value, "SRT" if "-" in value else "SCT", "")
    known = (code for table in CODE_TABLES for code in getattr(codes, table).concepts.values())
    return next((code.meaning for code in known if code == asked), "")


# Rows to the patient's left, columns to the feet: so a chest film hangs. What is done for each other orientation.
TURN_NOTES = {
    "RF": "mirrored back",
    "LH": "turned head up by mirroring",
    "RH": "turned by 180 degrees",
    "FL": "turned by 90 degrees and mirrored",
    "FR": "turned by 90 degrees",
    "HL": "turned by 90 degrees",
    "HR": "turned by 90 degrees and mirrored",
}


def turn_of(dataset: "Dataset") -> str:
    """Two letters, where rows and columns run: L, R, H or F; empty where unknown, or as chest films hang."""
    first = "".join(str(value)[:1].upper() for value in dataset.get("PatientOrientation") or [])
    return first if first in TURN_NOTES else ""


def rows_run(dataset: "Dataset") -> str:
    """`other` if rows or columns run from front to back, `frontal` if across the body, else empty."""
    first = [str(value)[:1].upper() for value in dataset.get("PatientOrientation") or []]
    if len(first) != 2:
        return ""
    return "other" if set(first) & {"A", "P"} else "frontal" if set(first) & {"L", "R"} else ""


def words(dataset: "Dataset", name: str) -> str:
    """A header's value as text without padding; empty where it has none."""
    value = dataset.get(name)
    return "" if value is None else str(value).strip(" \0\t\r\n")
