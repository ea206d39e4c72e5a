"""Readers whose answers a program makes up, so that a study without radiologists can show what readings would say.

They say nothing about the films: an answer follows from the truth and from chance. The model is that of signal
detection (Green & Swets 1966). Looking at a film gives a reader evidence, a normal variable with variance 1 whose mean
is ±d′/2 depending on the truth; the answer is the step between whose criteria the evidence falls. Half of the variance
belongs to the film, so that all readers tend to err on the same films, and half to the moment, so that a reader who
sees a film again does not always answer alike. Readers differ in d′, in where they put their criteria, and in pace.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrlib.files import read_json
from cxrlib.finished import makes
from cxrlib.reading.agreement import simulated_names
from cxrlib.reading.compared import COMPARED, STANDARD
from cxrlib.reading.events import SIMULATED, reader_slug, remove_simulated
from cxrlib.reading.protocol import Protocol, Task, prepare_protocol
from cxrlib.reading.questions import ARTEFACTS, FIVE_STEPS, ORIGIN_STEPS
from cxrlib.reading.session import ReadingSession
from cxrlib.records import write_record
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

logger = logging.getLogger(__name__)

SHARED_VARIANCE = 0.5
ORIGIN_CRITERIA = (-1.2, -0.6, 0.0, 0.6, 1.2)
REALISM_CRITERIA = (-1.4, -0.6, 0.2, 1.0)
CONFIDENCE_CRITERIA = (0.3, 0.7, 1.1, 1.6)
# d′ of the diagnosis on a synthetic film, as part of that on a real one.
SYNTHETIC_CLARITY = 0.8
# How alike a pair looks, on average; from the upper criterion on it is taken for one patient, below the lower for two.
LIKENESS = {"flagged": 1.1, "nearest": 0.1, "same patient": 1.5, "different patients": -0.6}
# How much more real films of the standard generator look than those of its variants, where generators are compared.
STANDARD_AHEAD = 0.6
PATIENT_CRITERIA = (0.3, 0.9)
# Where an artefact is marked, as fractions of width and height.
PLACES = {
    "ribs or clavicles": (0.30, 0.28), "lung texture": (0.70, 0.45), "vessels": (0.42, 0.50),
    "heart or mediastinum": (0.55, 0.62), "diaphragm": (0.32, 0.82), "opacity": (0.72, 0.66),
    "letters or marks": (0.12, 0.10), "edges or borders": (0.92, 0.50), "blur or noise": (0.50, 0.30),
    "something else": (0.50, 0.90),
}  # fmt: skip
PLACE_SPREAD = 0.06


@dataclass(frozen=True)
class SimulatedReader:
    """What makes a reader: d′ of real against synthetic and of positive against negative, how far the criteria are
    shifted (above 0: towards "real"), median seconds for a film."""

    name: str
    tells_origin: float
    tells_label: float
    leans: float
    seconds: float


@makes("simulated_readings")
def simulate_readings(
    study: Study, *, force: bool = False, progress: Callable[[int, int], Any] | None = None
) -> dict[str, Any]:
    """Let the study's simulated readers read to the end, through the same sessions as people; returns the record.

    What they have answered already stays as it is, unless with `force`; those whom the study no longer has are
    removed. People's answers are never touched. `progress(answers, total)` is called after every reader.
    """
    started = time.perf_counter()
    protocol, names = prepare_protocol(study), simulated_names(study)
    if force:
        remove_simulated(protocol.folder)
    _remove_others(study, names)
    record = study.results.simulated_record(study.review.protocol, len(names))
    sessions = []
    for name in names:
        session = ReadingSession(study, protocol, name)
        reader = draw_reader(study.seed, name)
        while (task := session.current) is not None:
            answers, seconds = answer_to(task, reader, protocol, study.seed)
            session.answer(task.task_id, answers, seconds=seconds)
        sessions.append(session)
        if progress:
            progress(sum(done.done for done in sessions), session.total * len(names))
    answers = sum(session.done for session in sessions)
    outputs = study.results.reading(study.review.protocol).event_files(f"{SIMULATED}*")
    inputs, seconds = {"protocol_sha256": protocol.sha256}, time.perf_counter() - started
    write_record(record, {"readers": list(names)}, inputs, seconds, outputs=outputs, answers=answers)
    logger.info("simulated readers: %d answers", answers)
    return read_json(record)


def _remove_others(study: Study, names: tuple[str, ...]) -> None:
    kept = {reader_slug(name) for name in names}
    for path in study.results.reading(study.review.protocol).event_files(f"{SIMULATED}*"):
        if path.name.split("-")[0] not in kept:
            path.unlink()


def draw_reader(seed: int, name: str) -> SimulatedReader:
    """A reader of this name, always the same."""
    random = np.random.default_rng(seed_for(seed, "simulated reader", name))
    tells_origin, tells_label, leans, pace = random.normal((0.9, 2.2, 0.0, np.log(14)), (0.25, 0.3, 0.2, 0.25))
    return SimulatedReader(name, tells_origin, tells_label, leans, float(np.exp(pace)))


def answer_to(task: Task, reader: SimulatedReader, protocol: Protocol, seed: int) -> tuple[dict[str, Any], float]:
    """Answers and seconds of a reader for a task; the same whenever they are asked for."""
    random = np.random.default_rng(seed_for(seed, "simulated answer", reader.name, task.task_id))
    films = [protocol.truth[film_id] for film_id in task.films]
    seconds = round(float(reader.seconds * np.exp(random.normal(0, 0.45))) * len(films) ** 0.5, 1)
    if task.block == "A":
        return _single(films[0], reader, random, seed), seconds
    if task.block == "B":
        left, right = (_evidence(film, "origin", _origin_mean(film, reader), random, seed) for film in films)
        side = "left" if left < right else "right"
        return {
            "synthetic_side": side,
            "confidence": _step(abs(left - right), CONFIDENCE_CRITERIA, FIVE_STEPS),
        }, seconds
    if task.block == "D":
        left, right = (
            _evidence(film, "origin", STANDARD_AHEAD * (film["fold"] == f"{COMPARED}{STANDARD}"), random, seed)
            for film in films
        )
        return {"more_real": "left" if left > right else "right"}, seconds
    kind = protocol.task_list.set_index("task_id").loc[task.task_id, "kind"]
    likeness = _evidence(films[0] | {"image_id": task.task_id}, "likeness", LIKENESS[kind], random, seed)
    return {"same_patient": _step(likeness, PATIENT_CRITERIA, ("no", "unsure", "yes"))}, seconds


def _single(film: dict[str, str], reader: SimulatedReader, random: np.random.Generator, seed: int) -> dict[str, Any]:
    clarity = SYNTHETIC_CLARITY if film["origin"] == "synthetic" else 1.0
    mean = reader.tells_label * clarity * (0.5 if film["label"] == "positive" else -0.5)
    disease = _evidence(film, "disease", mean, random, seed)
    looks_real = _evidence(film, "origin", _origin_mean(film, reader), random, seed) + reader.leans
    realism = int(_step(0.8 * looks_real + random.normal(0, 0.5), REALISM_CRITERIA, FIVE_STEPS))
    usable = realism >= 3 or random.random() < (0.2, 0.65)[realism - 1]
    return {
        "diagnosis": "positive" if disease > 0 else "negative",
        "confidence": _step(abs(disease), CONFIDENCE_CRITERIA, FIVE_STEPS),
        "origin": _step(looks_real, ORIGIN_CRITERIA, ORIGIN_STEPS),
        "realism": str(realism),
        "usable": "yes" if usable else "no",
        "artefacts": _artefacts(looks_real, random),
        "comment": "",
    }


def _origin_mean(film: dict[str, str], reader: SimulatedReader) -> float:
    return reader.tells_origin * (0.5 if film["origin"] == "real" else -0.5)


def _evidence(film: dict[str, str], what: str, mean: float, random: np.random.Generator, seed: int) -> float:
    of_film = np.random.default_rng(seed_for(seed, "simulated film", what, film["image_id"])).normal()
    return float(mean + SHARED_VARIANCE**0.5 * of_film + (1 - SHARED_VARIANCE) ** 0.5 * random.normal())


def _step(evidence: float, criteria: tuple[float, ...], choices: tuple[str, ...]) -> str:
    return choices[int(np.searchsorted(criteria, evidence))]


def _artefacts(looks_real: float, random: np.random.Generator) -> list[dict[str, Any]]:
    """The less real a film looks, the more is marked: most of it with a point, as a person would."""
    chosen = random.choice(ARTEFACTS, random.binomial(2, 1 / (1 + np.exp(2 * looks_real + 1))), replace=False)
    tags = []
    for tag in chosen:
        x, y = np.clip(random.normal(PLACES[str(tag)], PLACE_SPREAD), 0, 1).round(4)
        pointed = random.random() < 0.8
        tags.append({"tag": str(tag), "x": float(x) if pointed else None, "y": float(y) if pointed else None})
    return tags
