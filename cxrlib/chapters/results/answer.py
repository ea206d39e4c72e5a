"""The book's answer: the verdict in plain words, then what it rests on. No word is stronger than its interval."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cxrlib.chapters.results.evidence import MEASURES, Difference, Evidence
from cxrlib.chapters.results.questions import BALANCED, BASELINE, RANKING, SENSITIVITY, SPECIFICITY
from cxrlib.chapters.words import joined
from cxrlib.classifiers.arms import arm_of

Outcome = Literal["one run", "better", "worse", "moved", "trade", "can't tell"]
CHANCE = {RANKING: 0.5, BALANCED: 0.5}
# Sensitivity and specificity that move apart by less than this are no trade worth the name.
SMALLEST_TRADE = 0.05
# Which sentences stand together where the answer has paragraphs.
VERDICT = ("weak_baseline", "verdict")
GROUNDS = (("primary",), ("own_films", "leakage", "rebalancing"), ("rests",))


@dataclass(frozen=True)
class Rests:
    """What a study rests on, in numbers."""

    films: int
    patients: int
    simulated: bool
    generators: int = 1

    @property
    def kind(self) -> str:
        return "hospital's simulated films" if self.simulated else "hospital's films"


def outcome(found: Evidence, arm: str, reference: str) -> Outcome:
    """What the arm changes: how films are ranked, where the threshold lies, both for the worse, or nothing clear."""
    if min(found.seeds(arm), found.seeds(reference)) < 2:
        return "one run"
    ranking = found.answer(arm, RANKING, reference=reference)
    balanced = found.answer(arm, BALANCED, reference=reference)
    verdicts = {change.verdict for change in (ranking, balanced) if change is not None}
    if "loss" in verdicts:
        return "worse"
    if ranking is not None and ranking.verdict == "gain":
        return "better"
    if "gain" in verdicts:
        return "moved"
    return "trade" if _is_trade(found, arm, reference) else "can't tell"


def answer(found: Evidence, endpoint: Mapping[str, Any], arm: str | None, rests: Rests) -> dict[str, str]:
    """The sentences of the answer by key; `answer`, all of them in order; `answer_page`, the same in Markdown with the
    verdict in bold and a paragraph for each thing it rests on."""
    if arm is None:
        said = {"verdict": "This study has no arm with synthetic films, so it does not say what they change."}
    else:
        reference = endpoint["reference"] or BASELINE
        said = {
            "weak_baseline": weak_baseline(found, reference),
            "verdict": verdict(found, arm, reference),
            "primary": primary(found, endpoint),
            "own_films": own_films(found, arm),
            "leakage": leakage(found, arm),
            "rebalancing": rebalancing(found, arm),
        }
    said["rests"] = _rests(found, arm or BASELINE, rests)
    paragraphs = [f"**{_joined(said, VERDICT)}**", *filter(None, (_joined(said, part) for part in GROUNDS))]
    said = dict.fromkeys((key for part in (VERDICT, *GROUNDS) for key in part), "") | said
    return said | {"answer": _joined(said, said), "answer_page": "\n\n".join(paragraphs)}


def _joined(said: Mapping[str, str], keys: Iterable[str]) -> str:
    return " ".join(said[key] for key in keys if said.get(key))


def is_weak(found: Evidence, reference: str = BASELINE) -> bool:
    """Whether an arm does not rank the hospital's films clearly better than chance."""
    ends = found.ends(reference, RANKING)
    return ends is not None and not ends[1] > CHANCE[RANKING]


def weak_baseline(found: Evidence, reference: str = BASELINE) -> str:
    """A warning where the baseline is not clearly better than chance; else nothing."""
    if not is_weak(found, reference):
        return ""
    return (
        f"First of all: trained on public films alone, the classifier ({reference}) does not rank the hospital's "
        f"films clearly better than chance (area under the ROC curve {found.level(reference, RANKING)}, chance 0.50). "
        "Doing better than that proves little."
    )


def verdict(found: Evidence, arm: str, reference: str) -> str:
    """One sentence that a reader may take away."""
    found_to_be, weak = outcome(found, arm, reference), is_weak(found, reference)
    if found_to_be == "one run":
        return (
            "No verdict: each arm was trained once. How much another training would change the result is unknown, and "
            "the intervals below are over patients alone."
        )
    if found_to_be == "worse":
        return "No: with synthetic films the classifier does worse on the hospital's films."
    if found_to_be == "better":
        return (
            "With synthetic films the classifier ranks the hospital's films better, but the one that it is compared "
            "with hardly beats chance."
            if weak
            else "Yes: with synthetic films the classifier ranks the hospital's films better."
        )
    if found_to_be == "moved":
        return (
            "Not as a classifier: with synthetic films more answers are right at the threshold of one half, but the "
            "films are not clearly ranked better. A better threshold might do the same."
        )
    if found_to_be == "trade":
        traded = _trade(found, arm, reference)
        return f"No: {traded} Neither ranks clearly better, and moving the threshold makes such a trade too."
    return f"Can't tell: neither a gain nor a loss is clear. {_moves(found, arm, reference)}"


def primary(found: Evidence, endpoint: Mapping[str, Any]) -> str:
    """The verdict on the primary endpoint."""
    if not endpoint["arm"]:
        return "The study declares no primary endpoint: every comparison in it is exploratory."
    arm, reference = endpoint["arm"], endpoint["reference"]
    parts = []
    for metric in endpoint["measures"]:
        change = found.answer(arm, metric, reference=reference)
        if change is not None:
            level = found.level(arm, metric)
            parts.append(f"{MEASURES[metric]} by {change}{f' to {level}' if level else ''} ({change.judged})")
    if not parts:
        return f"The primary endpoint, {arm} against {reference}, can't be judged: the study no longer has both arms."
    when = "" if endpoint["declared_before_opening"] else " It was declared after the hospital's films had been opened."
    declared = "declared before any hospital film was opened" if not when else "not declared beforehand"
    return f"Primary endpoint, {declared}: {arm} against {reference} changes {joined(parts)}.{when}"


def own_films(found: Evidence, arm: str) -> str:
    """What the generator adds to the films that it was made from."""
    change = found.answer(arm, RANKING, reference="real-crossfit")
    if change is None:
        return "Whether the generator adds anything to its own films was not tried: no arm trains on those films."
    outcomes = {
        "gain": "the generator adds something to them",
        "loss": "the films themselves serve better than what a generator makes of them",
        "no clear difference": f"{change.unclear} whether the generator adds anything to them or loses anything",
        "no verdict": "no verdict from single runs",
    }
    sentence = (
        "Compared with the very films that the generators learned from (real-crossfit), synthetic films change the "
        f"area by {change}: {outcomes[change.verdict]}."
    )
    both = found.answer("real-and-synthetic-crossfit", RANKING, reference="real-crossfit")
    return f"{sentence} Both kinds of film together change it by {both} ({both.judged})." if both else sentence


def leakage(found: Evidence, arm: str) -> str:
    """What generators that saw the films under test changed."""
    change = found.answer(arm, RANKING, reference="synthetic")
    if change is None:
        return (
            "" if arm == "synthetic" else "Generators that saw the films under test, the paper's way, were not tried."
        )
    outcomes = {
        "gain": "they even do better",
        "loss": "part of what the paper's way shows is leakage, or comes from what these generators could not see",
        "no clear difference": f"{change.unclear} whether that leak matters",
        "no verdict": "no verdict from single runs",
    }
    return (
        f"Compared with generators that saw the films under test, as in the paper, these change the area by {change}: "
        f"{outcomes[change.verdict]}."
    )


def rebalancing(found: Evidence, arm: str) -> str:
    """Whether drawing the rarer public films more often does as well."""
    change = found.answer(arm, RANKING, reference="oversampled")
    if change is None:
        return "Whether rebalancing the public films would do as well was not tried."
    outcomes = {
        "gain": "synthetic films rank better than mere rebalancing",
        "loss": "mere rebalancing ranks better",
        "no clear difference": "mere rebalancing may do as well, or not",
        "no verdict": "no verdict from single runs",
    }
    words = outcomes[change.verdict]
    return f"Compared with public positives drawn more often (oversampled), they change it by {change}: {words}."


def _is_trade(found: Evidence, arm: str, reference: str) -> bool:
    """Whether sensitivity and specificity moved in opposite directions, at least one of them beyond its interval."""
    changes = [_change(found, arm, metric, reference) for metric in (SENSITIVITY, SPECIFICITY)]
    if any(change is None for change in changes):
        return False
    first, second = changes
    apart = first.value * second.value < 0 and min(abs(first.value), abs(second.value)) >= SMALLEST_TRADE
    return apart and (first.excludes_zero or second.excludes_zero)


def _trade(found: Evidence, arm: str, reference: str) -> str:
    more, less = (_change(found, arm, metric, reference) for metric in (SENSITIVITY, SPECIFICITY))
    words = ("specificity", "sensitivity") if more.value > 0 else ("sensitivity", "specificity")
    return f"{words[0]} is traded for {words[1]} (sensitivity {more}, specificity {less})."


def _moves(found: Evidence, arm: str, reference: str) -> str:
    changes = {MEASURES[metric]: _change(found, arm, metric, reference) for metric in (SENSITIVITY, SPECIFICITY)}
    parts = [f"{name} changes by {change}" for name, change in changes.items() if change is not None]
    return f"{joined(parts)}.".capitalize() if parts else ""


def _change(found: Evidence, arm: str, metric: str, reference: str) -> Difference | None:
    return found.answer(arm, metric, reference=reference) if reference == BASELINE else None


def _rests(found: Evidence, arm: str, rests: Rests) -> str:
    runs = found.trained(arm)
    patients = f"{rests.films:,} {'simulated ' if rests.simulated else ''}films of {rests.patients:,} patients"
    trained = f"{runs} training runs of each arm" if runs > 1 else "one training run of each arm"
    scope = (
        "It shows how the study works, not how well it works on patients."
        if rests.simulated
        else "It does not cover other hospitals."
    )
    return f"This rests on {patients} of one hospital and {trained}{_generators(arm, rests.generators)}. {scope}"


def _generators(arm: str, number: int) -> str:
    if not arm_of(arm).synthetic:
        return ""
    if number == 1:
        return "; the generators were trained once, so no interval covers what another training of them would change"
    return f"; its runs share {number} generators of each kind, which the intervals count instead of the runs"
