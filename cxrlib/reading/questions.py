"""What readers are asked: the questions of the three blocks, with their choices, as they are frozen and shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS

ORIGINS = ("real", "synthetic")
ORIGIN_STEPS = (
    "surely synthetic", "probably synthetic", "perhaps synthetic", "perhaps real", "probably real", "surely real",
)  # fmt: skip
FIVE_STEPS = ("1", "2", "3", "4", "5")
ARTEFACTS = (
    "ribs or clavicles", "lung texture", "vessels", "heart or mediastinum", "diaphragm", "opacity", "letters or marks",
    "edges or borders", "blur or noise", "something else",
)  # fmt: skip
LONGEST_TEXT = 2000
MOST_TAGS = 50


@dataclass(frozen=True)
class Question:
    """One question to a task. `choices` are empty for a text; `points` allows a tag to be put on the film."""

    name: str
    text: str
    kind: Literal["choice", "tags", "text"]
    choices: tuple[str, ...] = ()
    required: bool = True
    points: bool = False

    def in_plain(self) -> dict[str, Any]:
        """All but the name, as protocols and screens have it."""
        return {
            "text": self.text,
            "kind": self.kind,
            "choices": list(self.choices),
            "required": self.required,
            "points": self.points,
        }


CONFIDENCE = Question("confidence", "How sure are you (5 is surest)?", "choice", FIVE_STEPS)
QUESTIONS: dict[str, tuple[Question, ...]] = {
    "A": (
        Question("diagnosis", "COVID-19 on this film?", "choice", LABELS),
        CONFIDENCE,
        Question("origin", "Is the film real or synthetic?", "choice", ORIGIN_STEPS),
        Question("realism", "How realistic is it (5 is best)?", "choice", FIVE_STEPS),
        Question("usable", "Would you use it to train a program?", "choice", ("yes", "no")),
        Question("artefacts", "What looks wrong, and where?", "tags", ARTEFACTS, required=False, points=True),
        Question("comment", "Anything else?", "text", required=False),
    ),
    "B": (Question("synthetic_side", "Which film is synthetic?", "choice", ("left", "right")), CONFIDENCE),
    "C": (Question("same_patient", "Are both films of the same patient?", "choice", ("yes", "no", "unsure")),),
}
MORE_REAL = Question("more_real", "Which film looks more like a patient's?", "choice", ("left", "right"))
# Of a labelling of real films: what readers are asked each for themselves (L), and where they differ (J).
UNCLEAR = "can't be told"
LABELLING = (
    Question("label", "COVID-19 on this film?", "choice", (*LABELS, UNCLEAR)),
    CONFIDENCE,
    Question("comment", "Anything else?", "text", required=False),
)
QUESTIONS_OF_ALL = {**QUESTIONS, "D": (MORE_REAL,), "L": LABELLING, "J": LABELLING}


# What a reader is asked before the films: once about himself or herself, and once for every screen.
ABOUT: dict[str, tuple[Question, ...]] = {
    "experience": (
        Question(
            "speciality", "Which of these are you?", "choice",
            ("chest radiologist", "radiologist", "in training", "other physician", "no physician"),
        ),
        Question("years", "For how many years have you read films?", "choice", ("0-1", "2-5", "6-10", "11 or more")),
        Question("films_a_week", "How many chest films a week?", "choice", ("0-9", "10-49", "50-199", "200 or more")),
    ),
    "display": (
        Question(
            "luminance", "In which fields do you see an inner square?", "choice",
            ("both", "only the dark one", "only the bright one", "neither"),
        ),
        Question("calibrated", "Is this screen calibrated (DICOM GSDF)?", "choice", ("yes", "no", "not known")),
        Question("room", "How bright is the room?", "choice", ("dim", "like an office", "daylight")),
    ),
}  # fmt: skip


def checked_answers(questions: tuple[Question, ...], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers as they are stored: in the questions' order, without what was left empty.

    Raises `InputError` for a missing or unknown answer, and for one that is no choice.
    """
    if not isinstance(answers, Mapping):
        raise InputError(f"answers: found {type(answers).__name__}, expected one for each question, by name")
    unknown = [str(name) for name in answers if name not in {question.name for question in questions}]
    if unknown:
        expected = ", ".join(question.name for question in questions)
        raise InputError(f"answers: found {', '.join(unknown)[:100]}, expected only: {expected}")
    checked = {}
    for question in questions:
        value = answers.get(question.name)
        if value is None or value == "" or value == []:
            if question.required:
                raise InputError(f"{question.name}: no answer yet; choose one of: {', '.join(question.choices)}")
            continue
        checked[question.name] = _CHECKS[question.kind](question, value)
    return checked


def _choice(question: Question, value: Any) -> str:
    if not isinstance(value, str) or value not in question.choices:
        raise InputError(f"{question.name}: found {str(value)[:40]!r}, expected one of: {', '.join(question.choices)}")
    return value


def _text(question: Question, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        found = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
        raise InputError(f"{question.name}: found {found}, expected a text of at most {LONGEST_TEXT:,} characters")
    return value


def _tags(question: Question, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        found = f"{len(value)} marks" if isinstance(value, list) else type(value).__name__
        raise InputError(f"{question.name}: found {found}, expected at most {MOST_TAGS} marks")
    tags = []
    for item in value:
        if not isinstance(item, Mapping) or set(item) - {"tag", "x", "y"}:
            raise InputError(f"{question.name}: found {str(item)[:60]!r}, expected a tag with or without x and y")
        point = (item.get("x"), item.get("y"))
        if point != (None, None) and not (question.points and all(map(_is_fraction, point))):
            raise InputError(f"{question.name}: found the point {point}, expected x and y from 0 to 1, or no point")
        tags.append({"tag": _choice(question, item.get("tag")), "x": point[0], "y": point[1]})
    return tags


def _is_fraction(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


_CHECKS = {"choice": _choice, "text": _text, "tags": _tags}
