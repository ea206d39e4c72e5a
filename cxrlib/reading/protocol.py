"""What a reading shows, to whom, in which order: fixed before the first answer.

Blocks always come in this order: single films, pairs of which one is synthetic, and pairs that may be one patient. The
last shows synthetic films beside real ones that their generator knew, so that it must not come before the others. Where
the study compares generators, pairs of films of two of them follow.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from cxrlib.artifacts import Reading, kept_copy
from cxrlib.errors import InputError
from cxrlib.files import sha256_of, write_csv, write_text
from cxrlib.films.images import films_identity, load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.kept import keep, restore
from cxrlib.reading.compared import COMPARED, compared_films, compared_path, generators_compared
from cxrlib.reading.copy_pairs import COPY_KINDS
from cxrlib.reading.durable import make_private
from cxrlib.reading.events import people_have_answered, remove_simulated
from cxrlib.reading.questions import QUESTIONS, QUESTIONS_OF_ALL, Question
from cxrlib.reading.settings import ReviewSettings
from cxrlib.reading.worklist import draw_worklist, halves, real_films_in_words
from cxrlib.records import fingerprint
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

# Of protocol.yaml and its two tables; another number draws a reading anew.
FORMAT = 2
SMALLEST_GAP = 10
SECTIONS = ("practice", "A", "B", "C", "D", "L", "J")
# Settings that say how answers are counted, not which films are shown.
RULES = ("finished_percent", "shortest_seconds")

ANEW = "give `review.protocol` another name in the study file to begin a new reading"
# Films, tasks, and what the protocol says of them.
Drawn = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What a reader sees at once: one film (block A) or two, left and right, with the questions to them.

    Everything here may reach the browser: neither ids nor order tell which films are real.
    """

    task_id: str
    block: str
    practice: bool
    films: tuple[str, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Protocol:
    """A frozen reading: its folder, its films and tasks (private: they hold the truth) and the hash that every event
    carries. Columns of the tables: `worklist.FILM_COLUMNS` and `worklist.TASK_COLUMNS`."""

    folder: Path
    worklist: pd.DataFrame
    task_list: pd.DataFrame
    sha256: str
    seed: int
    record: dict[str, Any]

    def tasks(self, reader: str) -> list[Task]:
        """All tasks in this reader's own order, the same every time: practice, then the blocks."""
        random = np.random.default_rng(seed_for(self.seed, "reading order", self.sha256, reader))
        table = self.task_list
        ordered = []
        for section in SECTIONS:
            practice = (table["practice"] == "yes").to_numpy()
            rows = table[practice if section == "practice" else (table["block"] == section).to_numpy() & ~practice]
            repeats = dict(rows[rows["repeat_of"] != ""][["task_id", "repeat_of"]].itertuples(index=False))
            firsts = [task_id for task_id in rows["task_id"] if task_id not in repeats]
            ordered += spaced_order(firsts, repeats, random)
        return [self._tasks_by_id[task_id] for task_id in ordered]

    @cached_property
    def _tasks_by_id(self) -> dict[str, Task]:
        tasks = {}
        for row in self.task_list.itertuples():
            films = tuple(film for film in (row.left_film, row.right_film) if film)
            tasks[row.task_id] = Task(row.task_id, row.block, row.practice == "yes", films, QUESTIONS_OF_ALL[row.block])
        return tasks

    @cached_property
    def truth(self) -> dict[str, dict[str, str]]:
        """The row of the worklist of every film, by film id. Never to be sent to a browser."""
        return {row["film_id"]: row for row in self.worklist.to_dict("records")}

    def film_pixels(self, study: Study) -> dict[str, np.ndarray]:
        """uint8 (S, S) of every film, by film id; real and synthetic pass through the same pipeline.

        Both are read from arrays of one size and depth, and nothing but their pixels is handed on: real films were
        resized to the generators' resolution when they were prepared, and the generators learned from those.
        """
        size = study.gan.resolution
        hospital = load_image_set(study, "hospital", size)
        found = {}
        for (origin, label, fold), films in self.worklist.groupby(["origin", "label", "fold"]):
            if fold.startswith(COMPARED):
                drawn = compared_films(study, fold)
                found |= {row.film_id: np.array(drawn[int(row.image_id[-4:])]) for row in films.itertuples()}
                continue
            source = hospital if origin == "real" else load_synthetic(study, label, fold, size, flagged=True)
            row_of = {image_id: row for row, image_id in enumerate(source.manifest["image_id"].astype(str))}
            for film_id, image_id in zip(films["film_id"], films["image_id"], strict=True):
                found[film_id] = np.array(source.images[row_of[image_id]], np.uint8, order="C")
        return found


def spaced_order(firsts: Sequence[str], repeats: dict[str, str], random: np.random.Generator) -> list[str]:
    """A random order in which every repeat (`{repeat: first}`, at most half as many as firsts) comes well after its
    first: between the two lie at least `SMALLEST_GAP` tasks, or a third of the firsts where that is less."""
    order = [str(task_id) for task_id in random.permutation([*firsts, *repeats])]
    gap = min(SMALLEST_GAP, len(firsts) // 3) + 1
    while True:
        place = {task_id: index for index, task_id in enumerate(order)}
        close = [repeat for repeat, first in repeats.items() if abs(place[repeat] - place[first]) < gap]
        if not close:
            break
        here, there = place[str(random.choice(close))], int(random.integers(len(order)))
        order[here], order[there] = order[there], order[here]
    for repeat, first in repeats.items():
        # Both show the same film, so that which of them comes first makes no difference to the reader.
        order[min(place[first], place[repeat])], order[max(place[first], place[repeat])] = first, repeat
    return order


def prepare_protocol(study: Study) -> Protocol:
    """Draw the films of the study's reading and freeze them on disk, or load them if that is done.

    Raises `InputError` if films or settings have changed after somebody has answered. Answers of simulated readers hold
    nothing up: they are removed, to be made again.
    """
    reading = study.results.reading(study.review.protocol)
    with _said_of(reading):
        inputs = _inputs(study)
        wanted = _fingerprint(study, inputs)

    def draw() -> Drawn:
        films, tasks = draw_worklist(study, reading_fold(study))
        return films, tasks, {**_description(study, reading_fold(study), tasks), "inputs": inputs}

    freeze(reading, wanted, draw, ANEW)
    return load_protocol(study)


def freeze(reading: Reading, wanted: str, draw: Callable[[], Drawn], anew: str) -> None:
    """Draw films and tasks and write them down, unless those of the fingerprint `wanted` are there.

    Raises `InputError` where people have answered to others; `anew` says how to begin a new reading.
    """
    with _said_of(reading):
        restore(reading.frozen)
        stored = _read_record(reading.protocol) if reading.protocol.exists() else {}
        if stored.get("fingerprint") == wanted:
            return
        if people_have_answered(reading.root):
            raise InputError(
                f"{reading.root}: answers were given to other films or settings than there are now; {anew}"
            )
        make_private(reading.root)
        remove_simulated(reading.root)
        films, tasks, content = draw()
        write_csv(reading.worklist, films, private=True)
        write_csv(reading.task_list, tasks, private=True)
        lists = {"worklist_sha256": sha256_of(reading.worklist), "tasks_sha256": sha256_of(reading.task_list)}
        text = yaml.safe_dump(
            {**content, **lists, "fingerprint": wanted}, sort_keys=False, allow_unicode=True, width=120
        )
        write_text(reading.protocol, text, private=True)
        for path in reading.frozen:
            keep(path)


def load_protocol(study: Study) -> Protocol:
    """The reading that is frozen on disk; raises `InputError` if there is none, or if its lists were changed."""
    reading = study.results.reading(study.review.protocol)
    return load_frozen(reading, f"cxr review {study.name}", ANEW)


def load_frozen(reading: Reading, command: str, anew: str) -> Protocol:
    """As `load_protocol`, of any reading; `command` prepares one, and `anew` says how to begin a new one."""
    record, tables = reading.protocol, []
    with _said_of(reading):
        restore(reading.frozen)
        if not record.exists():
            raise InputError(f"{record}: no reading has been prepared; run `{command}`")
        content = _read_record(record)
        for key, path in (("worklist_sha256", reading.worklist), ("tasks_sha256", reading.task_list)):
            if not path.exists() or sha256_of(path) != content.get(key):
                # What was kept of a list of an older version may be the wrong one: it must not replace the right one.
                kept_copy(path).unlink(missing_ok=True)
                raise InputError(
                    f"{path}: not the list that {record.name} was frozen with; put back the one that was there, "
                    f"or {anew}"
                )
            tables.append(pd.read_csv(path, dtype=str, keep_default_na=False))
        return Protocol(reading.root, *tables, sha256_of(record), int(content["seed"]), content)


@contextlib.contextmanager
def _said_of(reading: Reading) -> Iterator[None]:
    """What the system refuses becomes an `InputError`: a reading's folder belongs to the account that made it."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{reading.root}: {error.strerror or error}; a reading is private: run it "
            "under the account that owns the study or its films, and see that the folder can be written to"
        ) from error


def _fingerprint(study: Study, inputs: dict[str, Any]) -> str:
    """What may not change once people have answered."""
    settings = study.review.model_dump(mode="json", exclude={"simulated_readers", "planned_readers"})
    # Readings from before there were such rules were frozen without them, and go on.
    for name in (*RULES, "keep_window", "generator_pairs"):
        if settings[name] == ReviewSettings.model_fields[name].default:
            del settings[name]
    choices = {question.name: question.choices for questions in QUESTIONS.values() for question in questions}
    return fingerprint({"format": FORMAT, "seed": study.seed, "choices": choices, **settings}, inputs)


def reading_fold(study: Study) -> str:
    """The fold whose generators and patients a reading uses."""
    return next((fold for fold in study.generator_folds if fold not in ("public", "all")), "all")


def _inputs(study: Study) -> dict[str, Any]:
    fold, results = reading_fold(study), study.results
    manifests = {f"synthetic {label}": results.synthetic(label, fold) / "manifest.csv" for label in LABELS}
    if study.review.generator_pairs:
        manifests |= {name: compared_path(study, name) for name in generators_compared(study)}
    for path in [*manifests.values(), results.manifest("hospital")]:
        if not path.exists():
            raise InputError(f"{path}: not there yet; make the synthetic films first, e.g. `cxr report {study.name}`")
    hospital = films_identity(study, "hospital", study.gan.resolution)
    return {"hospital": hospital, **{name: sha256_of(path) for name, path in manifests.items()}}


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: can't be read: {error}; put back the one that was there") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a protocol; put back the one that was there")
    return content


def _description(study: Study, fold: str, tasks: pd.DataFrame) -> dict[str, Any]:
    """The protocol in words and numbers, as `protocol.yaml` begins."""
    review = study.review
    scored = tasks[tasks["practice"] == "no"]
    counts = {block: scored[scored["block"] == block] for block in QUESTIONS}
    repeats = int((counts["A"]["repeat_of"] != "").sum())
    kinds = counts["C"]["kind"].value_counts()
    controls = sum(half // 2 for half in halves(review.copy_pairs))
    blocks = {
        "A": {
            "title": "single films, blinded",
            "films": len(counts["A"]) - repeats,
            "films_asked_for": 4 * review.films_per_label_and_origin,
            "shown_twice": repeats,
            "practice": int((tasks["practice"] == "yes").sum()),
        },
        "B": {
            "title": "which of two films is synthetic?",
            "pairs": len(counts["B"]),
            "pairs_asked_for": 2 * review.pairs_per_label,
        },
        "C": {
            "title": "are two films of the same patient?",
            "pairs": {kind: int(kinds.get(kind, 0)) for kind in COPY_KINDS},
            "pairs_asked_for": {"flagged": review.copy_pairs, "same patient": controls, "different patients": controls},
        },
    }
    if study.review.generator_pairs:
        blocks["D"] = {
            "title": "which of two synthetic films looks more real?",
            "pairs": int((scored["block"] == "D").sum()),
            "generators": [name.removeprefix(COMPARED) for name in generators_compared(study)],
        }
    for block, content in blocks.items():
        content["questions"] = {question.name: question.in_plain() for question in QUESTIONS_OF_ALL[block]}
    return {
        "protocol": review.protocol,
        "study": study.name,
        "format": FORMAT,
        "seed": study.seed,
        "films": {
            "synthetic": f"drawn at random from all films of the generators of {fold}, flagged ones included",
            "real": real_films_in_words(study, fold),
            "shown": f"{study.gan.resolution} by {study.gan.resolution} pixels, 8 bits, one pipeline for both",
        },
        "order": "practice with feedback, then the blocks, each in an order of the reader's own",
        "shown_twice": f"at least {SMALLEST_GAP} films lie between (a third of block A where that is less)",
        "flagged": "a synthetic film suspected of being a copy, beside the real film nearest to it",
        "nearest": "where too few are flagged: the unflagged synthetic films nearest to a real one",
        "same patient": "control: two real films of one patient",
        "different patients": "control: a real film beside the most similar one of another patient",
        "keep_window": review.keep_window,
        "counted": {name: getattr(review, name) for name in RULES},
        "blocks": blocks,
    }
