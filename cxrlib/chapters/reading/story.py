"""What Chapter 3 shows and says of the readings: one group of readers at a time, people where there are any.

Simulated readers are named as such wherever they appear: in the corner of a figure, in the head of a table, in every
sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrlib.chapters import style
from cxrlib.chapters.reading import figures
from cxrlib.chapters.reading.sentences import NO_READINGS, NOT_ENOUGH, counted_rows, reading_sentences
from cxrlib.chapters.words import origin, synthetic_origin
from cxrlib.films.images import load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.reading.agreement import ANSWERS, COMMON, PEOPLE, PROGRAMS
from cxrlib.reading.protocol import reading_fold
from cxrlib.study import Study


@dataclass(frozen=True)
class ReadingStory:
    """The readings of a study as Chapter 3 tells them: answers by group of readers, and the tables of all groups."""

    study: Study
    groups: Mapping[str, pd.DataFrame]
    all_tables: Mapping[str, pd.DataFrame]

    @cached_property
    def readers(self) -> str:
        """Whose answers are shown: "readers" (people), or "simulated readers" where no person has read."""
        return PROGRAMS if PROGRAMS in self.groups and PEOPLE not in self.groups else PEOPLE

    @cached_property
    def answers(self) -> pd.DataFrame:
        """Their answers, readers as numbers; no rows where nobody has read."""
        return self.groups.get(self.readers, pd.DataFrame(columns=[*COMMON, *ANSWERS]))

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The rows of the tables that concern them."""
        return {name: table[table["readers"] == self.readers] for name, table in self.all_tables.items()}

    @property
    def said(self) -> str:
        """For the corner of a figure: whose answers, to which films."""
        return f"{self.readers}, {origin(self.study, 'hospital')} and {synthetic_origin(self.study)}"

    def figure(self, name: str) -> Figure:
        """One of "accuracy", "steps", "realism", "artefacts", "time"; where nobody has read, a note that says so."""
        draw: dict[str, Callable[[], Figure]] = {
            "accuracy": lambda: figures.reader_accuracy(self.tables["reading_accuracy"], self.readers, self.said),
            "steps": lambda: figures.reader_steps(self.counted["reading_steps"], self.readers, self.said),
            "realism": self._realism,
            "artefacts": self._artefacts,
            "time": self._time,
        }
        needed = self.answers[self.answers["seconds"] > 0] if name == "time" else self.single
        nothing = NOT_ENOUGH if len(self.answers) else NO_READINGS
        if not len(needed):
            return style.note(nothing, origin(self.study, "hospital"))
        drawn = draw[name]()
        if self.readers == PROGRAMS:
            look = {"fontsize": 38, "rotation": 12, "weight": "bold", "color": "#9b1c16", "alpha": 0.28, "zorder": 100}
            drawn.text(0.5, 0.5, "SIMULATED READERS", ha="center", va="center", **look)
        return drawn

    @cached_property
    def single(self) -> pd.DataFrame:
        """First answers to single films, of those who count."""
        time = self.counted["reading_time"]
        readers = time[(time["block"] == "A")]["reader"]
        first = (self.answers["block"] == "A") & ~self.answers["repeat"].astype(bool)
        return self.answers[first & self.answers["reader"].isin(readers)]

    @cached_property
    def counted(self) -> dict[str, pd.DataFrame]:
        """The rows of those who count when readers are taken together."""
        return counted_rows(self.tables)

    def _realism(self) -> Figure:
        shares = self.single.groupby(["label", "origin", "realism"]).size().rename("answers").reset_index()
        return figures.reader_realism(shares, self.counted["reading_realism"], self.readers, self.said)

    def _artefacts(self) -> Figure:
        marks = self.single[self.single["origin"] == "synthetic"]["artefacts"]
        points = [(mark["x"], mark["y"]) for tags in marks for mark in tags if mark.get("x") is not None]
        table = self.tables["reading_artefacts"]
        return figures.artefact_map(self._mean_film(), np.array(points).reshape(-1, 2), table, self.said)

    def _mean_film(self) -> np.ndarray:
        fold, size = reading_fold(self.study), self.study.gan.resolution
        means = [np.mean(load_synthetic(self.study, label, fold, size).images, axis=0) for label in LABELS]
        return np.mean(means, axis=0).round().astype(np.uint8)

    def _time(self) -> Figure:
        timed = self.answers[self.answers["seconds"] > 0]
        seconds = timed[["reader", "block", "seconds"]].sort_values("reader", kind="stable")
        return figures.reading_time(seconds, self.readers, self.said)

    def facts(self) -> dict[str, Any]:
        """What the chapter's prose says of readings."""
        sentences = reading_sentences(self.tables, self.readers, len(self.answers))
        both = len(self.groups) > 1
        beside = "Simulated readers of this study stand in tables of their own and are not shown here." if both else ""
        sentences["origin_told"] = sentences.pop("origin")
        return {**sentences, "readers": self.readers, "beside": beside}
