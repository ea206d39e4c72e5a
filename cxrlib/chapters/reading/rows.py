"""Rows of the tables of what readers said, for one group of readers.

Per reader, shares are exact and areas Newcombe's; what holds for all readers follows from the model of Obuchowski and
Rockette. Where answers of several readers to one film are counted together, the interval allows for it. Readers who are
unfinished, or whose pace is implausible, have rows of their own and no part in those of all readers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.reading.pooled import over_all
from cxrlib.evaluation.agreement import agreement_of_readers, agreement_of_two
from cxrlib.evaluation.pairwise import compare_with_first
from cxrlib.evaluation.readers import (
    area_interval,
    areas_by_reader,
    clustered_wilson,
    exact_interval,
    means_by_reader,
    medians_by_reader,
    over_readers,
    share_of_answers,
    step_area,
)
from cxrlib.evaluation.uncertainty import Interval
from cxrlib.films.settings import LABELS
from cxrlib.reading.agreement import ALL, EXPERIENCE, LABEL, ORIGIN, SIDES
from cxrlib.reading.compared import STANDARD
from cxrlib.reading.questions import ARTEFACTS, FIVE_STEPS, ORIGIN_STEPS, ORIGINS
from cxrlib.reproducibility import seed_for


@dataclass(frozen=True)
class Group:
    """Answers of readers of one kind, people or programs, and how each stands (`standings`)."""

    name: str
    answers: pd.DataFrame
    seed: int
    standings: pd.DataFrame

    @cached_property
    def readers(self) -> list[str]:
        return sorted(self.answers["reader"].unique(), key=lambda name: int(name.split()[-1]))

    @cached_property
    def single(self) -> pd.DataFrame:
        """Block A without repeats."""
        return self.block("A")

    def block(self, block: str) -> pd.DataFrame:
        part = self.answers[self.answers["block"] == block]
        return part[~part["repeat"].astype(bool)]

    def counts(self, reader: str, block: str) -> bool:
        """Whether a reader, or all, has a part in what is said of all readers."""
        return reader == ALL or (reader, block) in self._counted

    @cached_property
    def _counted(self) -> set[tuple[str, str]]:
        rows = self.standings[self.standings["counted"] == "yes"]
        return set(zip(rows["reader"], rows["block"], strict=True))

    def counted(self, answers: pd.DataFrame) -> pd.DataFrame:
        """Without the answers of those who don't count in their block."""
        keys = zip(answers["reader"], answers["block"], strict=True)
        return answers[np.fromiter((key in self._counted for key in keys), bool, len(answers))]

    def each(self, answers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every reader, then all who count if there are several; `answers` are of one block."""
        for reader in self.readers:
            yield reader, answers[answers["reader"] == reader]
        together = self.counted(answers)
        if together["reader"].nunique() > 1:
            yield ALL, together

    def matrix(self, answers: pd.DataFrame, values: pd.Series) -> tuple[np.ndarray, pd.DataFrame]:
        """Values as (readers, films), NaN where not answered, and the truth of the films (label, origin)."""
        films = answers.drop_duplicates("case_id").set_index("case_id")
        table = pd.DataFrame({"reader": answers["reader"], "case": answers["case_id"], "value": values.astype(float)})
        wide = table.pivot(index="reader", columns="case", values="value")
        return wide.reindex(columns=films.index).to_numpy(), films

    def resampled(self, *purpose: str) -> int:
        return seed_for(self.seed, "readings", self.name, *purpose) % 2**32


def _accuracy(group: Group) -> Iterator[dict[str, Any]]:
    single, pairs = group.single, group.block("B")
    if len(single):
        right = (single["read_origin"] == single["origin"]).astype(int)
        yield from _shares(group, single, right, ORIGIN, "accuracy", chance=True)
        for origin, measure in (("synthetic", "sensitivity"), ("real", "specificity")):
            chosen = single["origin"] == origin
            yield from _shares(group, single[chosen], right[chosen], ORIGIN, measure)
        yield from _areas(group, single)
        agrees = (single["diagnosis"] == single["label"]).astype(int)
        for origin in reversed(ORIGINS):
            chosen = single["origin"] == origin
            yield from _shares(group, single[chosen], agrees[chosen], f"{LABEL}, {origin} films", "accuracy")
    if len(pairs):
        right = (pairs["answer"] == pairs["right_answer"]).astype(int)
        yield from _shares(group, pairs, right, SIDES, "accuracy", chance=True)


def _shares(
    group: Group, answers: pd.DataFrame, right: pd.Series, question: str, measure: str, *, chance: bool = False
) -> Iterator[dict[str, Any]]:
    """A share of right answers of every reader, exact, and of all readers, with readers and films resampled."""
    keys = {"question": question, "measure": measure}
    for reader, part in group.each(answers):
        counts = {"answers": len(part), "right": int(right[part.index].sum())}
        if reader != ALL:
            found = share_of_answers(counts["right"], counts["answers"])
            inner = exact_interval(counts["right"], counts["answers"], 0.90)
            tests = {"p_chance": found.p_chance, "p_equivalence": found.p_equivalence} if chance else {}
            yield {"reader": reader, **keys, **counts, **_bounds(found.interval, inner), **tests}
        elif len(part):
            values, films = group.matrix(part, right[part.index])
            strata = (films["label"] + films["origin"].fillna("")).to_numpy(str)
            found = over_all(means_by_reader(values), strata, seed=group.resampled(question, measure))
            yield {"reader": reader, **keys, **counts, **found}


def _areas(group: Group, single: pd.DataFrame) -> Iterator[dict[str, Any]]:
    keys = {"question": ORIGIN, "measure": "auc"}
    for reader, part in group.each(single):
        if reader != ALL:
            real, synthetic = (_on_steps(part[part["origin"] == origin]) for origin in ORIGINS)
            area = float(step_area(real, synthetic))
            found = area_interval(area, int(real.sum()), int(synthetic.sum()))
            yield {"reader": reader, **keys, "answers": len(part), **_bounds(found, None)}
        else:
            values, films = group.matrix(part, part["step"])
            steps = np.nan_to_num(values - 1, nan=-1).astype(int)
            measure = areas_by_reader(steps, (films["origin"] == "real").to_numpy(), len(ORIGIN_STEPS))
            strata = (films["label"] + films["origin"]).to_numpy(str)
            found = over_all(measure, strata, seed=group.resampled("auc"))
            yield {"reader": reader, **keys, "answers": len(part), **found}


def _experience(group: Group) -> Iterator[dict[str, Any]]:
    """The accuracy and the area of those who count and told the same of themselves, two or more of a kind."""
    for about in EXPERIENCE:
        for told, part in group.counted(group.single).groupby(about):
            number = part["reader"].nunique()
            if told and number > 1:
                right = (part["read_origin"] == part["origin"]).astype(int)
                kind = Group(group.name, part, group.seed, group.standings)
                for row in (*_shares(kind, part, right, ORIGIN, "accuracy"), *_areas(kind, part)):
                    if row["reader"] == ALL:
                        yield {"about": about, "told": told, "number": number, **row}


def _on_steps(part: pd.DataFrame) -> np.ndarray:
    return np.bincount(part["step"].to_numpy(int) - 1, minlength=len(ORIGIN_STEPS))


def _bounds(found: Interval, inner: Interval | None) -> dict[str, float]:
    bounds = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return bounds | ({"inner_low": inner.low, "inner_high": inner.high} if inner else {})


def _steps(group: Group) -> Iterator[dict[str, Any]]:
    for reader, part in group.each(group.single):
        for label, origin in product(LABELS, ORIGINS):
            counts = _on_steps(part[(part["label"] == label) & (part["origin"] == origin)])
            for step, answers in enumerate(counts, start=1):
                yield {"reader": reader, "label": label, "origin": origin, "step": step, "answers": int(answers)}


def _realism(group: Group) -> Iterator[dict[str, Any]]:
    """Means and medians by label and origin. One reader: films drawn anew; all readers: readers and films."""
    for (reader, part), label, origin in product(list(group.each(group.single)), LABELS, ORIGINS):
        rows = part[(part["label"] == label) & (part["origin"] == origin)]
        if not len(rows):
            continue
        values, films = group.matrix(rows, rows["realism"])
        usable = clustered_wilson(rows["usable"] == "yes", rows["case_id"])
        row = {"reader": reader, "label": label, "origin": origin, "answers": len(rows)}
        measures = {"mean": means_by_reader(values), "median": medians_by_reader(values, len(FIVE_STEPS))}
        for name, measure in measures.items():
            seed = group.resampled("realism", reader, label, origin)
            found = over_readers(measure, np.zeros(len(films)), len(values), seed=seed)
            row |= {
                name: found.interval.estimate,
                f"{name}_low": found.interval.low,
                f"{name}_high": found.interval.high,
            }
        yield row | {"usable": usable.estimate, "usable_low": usable.low, "usable_high": usable.high}


def _agreement(group: Group) -> Iterator[dict[str, Any]]:
    yield from _between_readers(group)
    for reader, part in group.each(group.single):
        for origin in reversed(ORIGINS):
            rows = part[part["origin"] == origin]
            codes = [rows[column].map(LABELS.index).to_numpy(int) for column in ("diagnosis", "label")]
            seed = group.resampled("label", reader, origin)
            found = agreement_of_two(*codes, 2, seed=seed, films=rows["case_id"].to_numpy())
            yield from _coefficients(found, reader, "reader and label", f"diagnosis, {origin} films", len(rows))
    yield from _within_readers(group)


QUESTIONS_COMPARED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "real or synthetic": ("read_origin", ORIGINS),
    "diagnosis": ("diagnosis", LABELS),
    "usable": ("usable", ("yes", "no")),
    "realism": ("realism", tuple(range(1, len(FIVE_STEPS) + 1))),
}


def _between_readers(group: Group) -> Iterator[dict[str, Any]]:
    single = group.counted(group.single)
    readers = single["reader"].nunique()
    if readers < 2:
        return
    for question, (column, choices) in QUESTIONS_COMPARED.items():
        if question == "realism":
            continue
        values, _ = group.matrix(single, single[column].map(choices.index))
        ratings = np.nan_to_num(values, nan=-1).astype(int).T
        films = int(((ratings >= 0).sum(axis=1) >= 2).sum())
        found = agreement_of_readers(ratings, len(choices), seed=group.resampled("between", question))
        if readers == 2:
            found |= agreement_of_two(*ratings.T, len(choices), seed=group.resampled("two", question))
        yield from _coefficients(found, ALL, "readers", question, films)


def _within_readers(group: Group) -> Iterator[dict[str, Any]]:
    """A reader's first answer to a film beside the second."""
    again = group.answers[(group.answers["block"] == "A") & group.answers["repeat"].astype(bool)]
    both = group.single.merge(again, on=["reader", "case_id"], suffixes=("", "_again"))
    for reader, part in group.each(both):
        for question, (column, choices) in QUESTIONS_COMPARED.items():
            codes = [part[name].map(choices.index).to_numpy(int) for name in (column, f"{column}_again")]
            weights = "quadratic" if question == "realism" else "none"
            seed = group.resampled("within", reader, question)
            films = part["case_id"].to_numpy()
            found = agreement_of_two(*codes, len(choices), seed=seed, films=films, weights=weights)
            yield from _coefficients(found, reader, "first and second answer", question, len(part))


def _coefficients(
    found: dict[str, Interval], reader: str, between: str, question: str, films: int
) -> Iterator[dict[str, Any]]:
    for coefficient, interval in found.items():
        keys = {"reader": reader, "between": between, "question": question, "coefficient": coefficient}
        yield {**keys, "films": films, "estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _artefacts(group: Group) -> Iterator[dict[str, Any]]:
    """Of the answers of all who count to films of an origin, those in which something was marked."""
    single = group.counted(group.single)
    for origin in reversed(ORIGINS):
        rows = single[single["origin"] == origin]
        marked = [{tag["tag"] for tag in tags} for tags in rows["artefacts"]]
        for artefact in ("any", *ARTEFACTS):
            hits = np.array([bool(tags) if artefact == "any" else artefact in tags for tags in marked], float)
            share = clustered_wilson(hits, rows["case_id"].to_numpy())
            counts = {"origin": origin, "artefact": artefact, "answers": len(rows), "marked": int(hits.sum())}
            yield {**counts, "share": share.estimate, "low": share.low, "high": share.high}


def _pairs(group: Group) -> Iterator[dict[str, Any]]:
    """Block C: how often a pair was taken for one patient, beside the same for the control pairs."""
    pairs = group.block("C")
    for reader, part in group.each(pairs):
        for kind in dict.fromkeys(pairs["kind"]):
            rows = part[part["kind"] == kind]
            given = rows["answer"]
            counts = {answer: int((given == answer).sum()) for answer in ("yes", "no", "unsure")}
            if len(given):
                share = clustered_wilson(given == "yes", rows["case_id"])
                bounds = {"share_yes": share.estimate, "low": share.low, "high": share.high}
                yield {"reader": reader, "kind": kind, "answers": len(given), **counts, **bounds}


def _generators(group: Group) -> Iterator[dict[str, Any]]:
    """Block D: the chance that a film of each generator is preferred to one of the standard's, by Bradley and Terry."""
    pairs = group.block("D")
    if pairs.empty:
        return
    names = list(dict.fromkeys(name for kind in pairs["kind"] for name in kind.split(" / ")))
    names.sort(key=lambda name: (name != STANDARD, name))
    for reader, part in group.each(pairs):
        if part.empty:
            continue
        values, tasks = group.matrix(part, part["answer"].map(names.index))
        shown = np.array([[names.index(name) for name in kind.split(" / ")] for kind in tasks["kind"]]).reshape(-1, 2)
        chosen = np.nan_to_num(values, nan=-1).astype(int)
        for number, found in enumerate(compare_with_first(chosen, shown, len(names)), start=1):
            seen = (shown == number).any(axis=1)
            counts = {"shown": int((chosen[:, seen] >= 0).sum()), "preferred": int((chosen == number).sum())}
            yield {"reader": reader, "generator": names[number], **counts, **_bounds(found, None)}


def _time(group: Group) -> Iterator[dict[str, Any]]:
    """How far each reader is, at what pace, and whether he or she counts."""
    standings = group.standings.set_index(["reader", "block"])
    for block in dict.fromkeys(group.standings["block"]):
        for reader, part in group.each(group.answers[group.answers["block"] == block]):
            seconds = part["seconds"].dropna().astype(float)
            quartiles = np.quantile(seconds, [0.25, 0.5, 0.75]) if len(seconds) else [np.nan] * 3
            found = dict(zip(("lower_seconds", "median_seconds", "upper_seconds"), quartiles, strict=True))
            row = {"reader": reader, "block": block, "answers": len(part), **found}
            yield row if reader == ALL else row | standings.loc[(reader, block), ["tasks", "hasty", "why"]].to_dict()


TABLES = {
    "reading_accuracy": _accuracy,
    "reading_experience": _experience,
    "reading_steps": _steps,
    "reading_realism": _realism,
    "reading_agreement": _agreement,
    "reading_artefacts": _artefacts,
    "reading_pairs": _pairs,
    "reading_generators": _generators,
    "reading_time": _time,
}
