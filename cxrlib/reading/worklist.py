"""Which films a reading shows, and in which tasks: drawn once, from a seed.

The two tables hold the truth and stay in the reading's private folder. Every place in which a film is shown has a film
id of its own, so that not even a film shown twice can be told from its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrlib.files import read_json
from cxrlib.films.held_out import held_out_rows
from cxrlib.films.images import load_image_set, load_manifest, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.reading.compared import COMPARED, compared_films, generators_compared
from cxrlib.reading.copy_pairs import RIGHT_ANSWERS, CopyPairs, Pool
from cxrlib.reading.questions import ORIGINS
from cxrlib.reproducibility import seed_for

if TYPE_CHECKING:
    from cxrlib.study import Study

FILM_COLUMNS = ("film_id", "label", "origin", "fold", "image_id", "flagged")
TASK_COLUMNS = (
    "task_id", "block", "practice", "repeat_of", "kind", "label", "left_film", "right_film", "right_answer",
)  # fmt: skip
PRACTICE_SHARE = 5


@dataclass
class Draft:
    """A worklist in the making: films and tasks by number, until their ids are drawn."""

    films: list[dict[str, str]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def add(self, block: str, kind: str, shown: Sequence[dict[str, str]], **facts: Any) -> int:
        """A task with these films (one, or left and right); returns its number."""
        first = len(self.films)
        self.films += shown
        places = [*range(first, first + len(shown)), None]
        task = {"block": block, "kind": kind, "label": shown[0]["label"], "practice": "no", "right_answer": ""}
        self.tasks.append({**task, "left_film": places[0], "right_film": places[1], "repeat_of": None, **facts})
        return len(self.tasks) - 1

    def add_pair(self, block: str, kind: str, shown: Sequence[dict[str, str]], side: int, **facts: Any) -> int:
        """A task with the first film on the left (`side` 0) or on the right (1)."""
        return self.add(block, kind, shown[::-1] if side else shown, **facts)

    def tables(self, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Films (`FILM_COLUMNS`) and tasks (`TASK_COLUMNS`), with ids in random order; all values are text."""
        film_id = _ids("film", len(self.films), random)
        task_id = _ids("task", len(self.tasks), random)
        films = [{**film, "film_id": film_id[number]} for number, film in enumerate(self.films)]
        tasks = []
        for number, task in enumerate(self.tasks):
            names = {side: film_id.get(task[side], "") for side in ("left_film", "right_film")}
            repeat_of = task_id.get(task["repeat_of"], "")
            tasks.append({**task, **names, "task_id": task_id[number], "repeat_of": repeat_of})
        return _sorted(films, FILM_COLUMNS), _sorted(tasks, TASK_COLUMNS)


def draw_worklist(study: "Study", fold: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the films and the tasks of the study's reading: tables of `FILM_COLUMNS` and `TASK_COLUMNS`.

    No film of practice, block A and block B is in another of these. Where films are too few, practice takes at most
    one in `PRACTICE_SHARE`, and the blocks share the rest in proportion to what they asked for. Block C prefers films
    that were not shown before, but flagged films may be few.
    """
    review, draft = study.review, Draft()
    random = {
        label: np.random.default_rng(seed_for(study.seed, "reading films", review.protocol, label)) for label in LABELS
    }
    pools = {label: load_pool(study, label, fold) for label in LABELS}
    decks = {cell: deck for label in LABELS for cell, deck in _decks(pools[label], label, fold, random[label]).items()}
    _add_practice(draft, decks, review.practice_films)
    sizes = {
        label: _shared_out(
            min(len(decks[label, origin]) for origin in ORIGINS),
            review.films_per_label_and_origin,
            review.pairs_per_label,
        )
        for label in LABELS
    }
    for (label, _), deck in decks.items():
        for film in _take(deck, sizes[label][0]):
            draft.add("A", "single", [film])
    _add_repeats(draft, study)
    for label in LABELS:
        for _ in range(sizes[label][1]):
            side = int(random[label].integers(2))
            shown = [_take(decks[label, origin], 1)[0] for origin in ("synthetic", "real")]
            draft.add_pair("B", "pair", shown, side, right_answer=("left", "right")[side])
    before = frozenset(film["image_id"] for film in draft.films)
    for label, count in zip(LABELS, halves(review.copy_pairs), strict=True):
        for kind, pair in CopyPairs(pools[label], before, random[label]).draw(count):
            films = [_film(label, origin, fold, row) for origin, row in pair]
            side = int(random[label].integers(2))
            draft.add_pair("C", kind, films, side, right_answer=RIGHT_ANSWERS.get(kind, ""))
    _add_generator_pairs(draft, study)
    return draft.tables(np.random.default_rng(seed_for(study.seed, "reading ids", review.protocol)))


def load_pool(study: "Study", label: str, fold: str) -> Pool:
    """The films of a label from which a reading with the generators of `fold` may draw."""
    size = study.gan.resolution
    hospital = load_image_set(study, "hospital", size)
    hospital = hospital.select((hospital.manifest["label"] == label).to_numpy())
    synthetic = load_synthetic(study, label, fold, size, flagged=True)
    threshold = read_json(study.results.synthetic_record(label, fold)).get("feature_threshold")
    unseen = unseen_rows(study, hospital.manifest, fold)
    if not unseen.any():
        # Every patient may have been seen; `protocol.yaml` says so.
        return Pool(hospital, hospital, synthetic, threshold)
    return Pool(hospital.select(unseen), hospital.select(~unseen), synthetic, threshold)


def unseen_rows(study: "Study", manifest: pd.DataFrame, fold: str) -> np.ndarray:
    """bool (N,): the hospital films of a label whose patients the generators of `fold` never saw: the fold's own, or,
    where a study has no folds, those held out of training (which its snapshots were chosen by)."""
    if fold == "all":
        return held_out_rows(study, manifest)
    return (manifest["fold"] == fold).to_numpy()


def real_films_in_words(study: "Study", fold: str) -> str:
    """Whose real films blocks A and B show."""
    if fold != "all":
        return f"of patients of {fold}, whom the generators never saw"
    hospital = load_manifest(study, "hospital")
    of_label = [hospital[hospital["label"] == label] for label in LABELS]
    if all(unseen_rows(study, films, fold).any() for films in of_label):
        return "of patients held out of the generators' training (the snapshots were chosen by them)"
    return "of patients whom the generators may have seen, since none were held out for every label"


def _decks(pool: Pool, label: str, fold: str, random: np.random.Generator) -> dict[tuple[str, str], list]:
    """Films in random order, by label and origin; of real films, one of each patient comes before any second one."""
    real = pool.unseen.manifest.iloc[random.permutation(len(pool.unseen))]
    real = real.iloc[np.argsort(real.groupby("patient_id").cumcount().to_numpy(), kind="stable")]
    synthetic = pool.synthetic.manifest.iloc[random.permutation(len(pool.synthetic))]
    return {
        (label, "real"): [_film(label, "real", fold, row) for _, row in real.iterrows()],
        (label, "synthetic"): [_film(label, "synthetic", fold, row) for _, row in synthetic.iterrows()],
    }


def _film(label: str, origin: str, fold: str, row: pd.Series) -> dict[str, str]:
    flagged = ("yes" if row["flagged"] else "no") if origin == "synthetic" else ""
    return {"label": label, "origin": origin, "fold": fold, "image_id": str(row["image_id"]), "flagged": flagged}


def _take(deck: list, count: int) -> list:
    taken, deck[:] = deck[:count], deck[count:]
    return taken


def _add_practice(draft: Draft, decks: dict[tuple[str, str], list], count: int) -> None:
    """Films of every label and origin in turn."""
    first, second = LABELS
    turns = ((first, "real"), (second, "synthetic"), (first, "synthetic"), (second, "real"))
    room = len(turns) * (min(map(len, decks.values())) // PRACTICE_SHARE)
    for number in range(min(count, room)):
        draft.add("A", "single", _take(decks[turns[number % len(turns)]], 1), practice="yes")


def _add_repeats(draft: Draft, study: "Study") -> None:
    """Some films of block A a second time, from every label and origin in turn."""
    random = np.random.default_rng(seed_for(study.seed, "reading repeats", study.review.protocol))
    scored = [number for number, task in enumerate(draft.tasks) if task["practice"] == "no"]
    count = _share(len(scored), study.review.repeat_percent)
    seen: dict[tuple[str, str], int] = {}
    turns = []
    for number in random.permutation(scored).tolist():
        film = draft.films[draft.tasks[number]["left_film"]]
        cell = (film["label"], film["origin"])
        seen[cell] = seen.get(cell, 0) + 1
        turns.append((seen[cell], number))
    # The first film of every cell, in random order, then the second of every cell, and so on.
    for _, number in sorted(turns, key=lambda turn: turn[0])[:count]:
        draft.add("A", "single", [dict(draft.films[draft.tasks[number]["left_film"]])], repeat_of=number)


def _add_generator_pairs(draft: Draft, study: "Study") -> None:
    """Of each two generators so many pairs of films; no film is shown twice, as far as there are enough."""
    wanted = study.review.generator_pairs
    if not wanted:
        return
    random = np.random.default_rng(seed_for(study.seed, "reading generators", study.review.protocol))
    names = generators_compared(study)
    decks = {name: random.permutation(len(compared_films(study, name))).tolist() for name in names}
    for pair in combinations(names, 2):
        for _ in range(min(wanted, *(len(decks[name]) for name in pair))):
            shown = [
                {"label": study.gan.comparison_label, "origin": "synthetic", "fold": name, "flagged": "",
                 "image_id": f"{name.removeprefix(COMPARED)}-{decks[name].pop():04d}"}
                for name in pair
            ]  # fmt: skip
            kind = " / ".join(name.removeprefix(COMPARED) for name in pair)
            draft.add_pair("D", kind, shown, int(random.integers(2)))


def _shared_out(available: int, singles: int, pairs: int) -> tuple[int, int]:
    """How many films of a label and origin blocks A and B get."""
    if available >= singles + pairs:
        return singles, pairs
    # Rounded up: there is a block A wherever there is a film.
    share = -(-available * singles // (singles + pairs))
    return share, available - share


def halves(total: int) -> tuple[int, int]:
    """A number of pairs, shared out among the two labels."""
    return total - total // 2, total // 2


def _share(total: int, percent: int) -> int:
    """The percentage of a total, rounded; at least one where any is asked for."""
    return max(round(total * percent / 100), 1) if total and percent else 0


def _ids(prefix: str, count: int, random: np.random.Generator) -> dict[int | None, str]:
    return {number: f"{prefix}{place:04d}" for place, number in enumerate(random.permutation(count).tolist(), start=1)}


def _sorted(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns), dtype=str).sort_values(columns[0]).reset_index(drop=True)
