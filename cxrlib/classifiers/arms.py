"""The arms, each declared once: every table, figure, word and order of work that names an arm derives from here.

An arm is one recipe of training data for the classifier. A new one is an entry in `ARMS`, made from the parts that an
`Arm` has; it is then trained, tabulated, drawn and explained like the others.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

# The ladder: how much of the hospital an arm's training holds.
RUNGS = (
    "nothing of the hospital", "another balance or threshold", "its look", "its films by way of a generator",
    "its films themselves",
)  # fmt: skip
NOTHING, BALANCE, LOOK, GENERATOR, FILMS = RUNGS

DOSE_PREFIX = "synthetic-dose"
EQUAL_STEPS = "-equal-steps"


@dataclass(frozen=True)
class Arm:
    """One arm, in parts.

    `films` and `answers` say in plain words what it learns from and which question it answers; `rung` is its place on
    the ladder. What it learns from: `public` films; `synthetic`, so many per cent of the synthetic ones. With
    `crossfitted` it has one model per fold, which uses nothing of that fold's patients. `balance` imitates the labels'
    proportions in the arm `synthetic`, by films `drawn` again or by a loss that is `weighted`. `learns` is a `network`
    or the `sources` of the public films (no network, no hospital film). With `equal_steps` an epoch has as many films,
    and so optimiser steps, as one of the baseline.
    """

    name: str
    films: str
    answers: str
    rung: str
    public: bool = True
    synthetic: int = 0
    crossfitted: bool = False
    balance: Literal["", "drawn", "weighted"] = ""
    learns: Literal["network", "sources"] = "network"
    equal_steps: bool = False

    @property
    def network(self) -> bool:
        """Whether it trains a network, and so has a log, steps and a map of what it looked at."""
        return self.learns == "network"

    @property
    def judges_hospital(self) -> bool:
        """Whether it predicts the hospital's films; the rule of sources can't, since it knows public sources only."""
        return self.learns != "sources"

    @property
    def needs_synthetic(self) -> bool:
        """Whether the synthetic films have to be made first: it learns from them, or counts them."""
        return self.synthetic > 0 or bool(self.balance)


_DECLARED = (
    Arm(
        "baseline", "public films", "How well do public films alone prepare for the hospital?", NOTHING,
    ),
    Arm(
        "synthetic", "public films and synthetic ones, of generators that learned from all hospital films",
        "Do synthetic films help? (The paper's way: the generators have seen the films of the test.)",
        GENERATOR, synthetic=100,
    ),
    Arm(
        "synthetic-crossfit", "public films and synthetic ones, of generators that never saw the fold under test",
        "Is the gain real, or did the test leak into the training?",
        GENERATOR, synthetic=100, crossfitted=True,
    ),
    Arm(
        "oversampled",
        "public films, the rarer label drawn more often until the proportions are those of the synthetic arm",
        "Is the gain only that of a better balance between the labels?", BALANCE, balance="drawn",
    ),
    Arm(
        "class-weighted",
        "public films, each label weighted in the loss until the proportions are those of the synthetic arm",
        "The same question, answered without showing any film twice.", BALANCE, balance="weighted",
    ),
    Arm(
        "synthetic-only", "synthetic films alone, of generators that never saw the fold under test",
        "What do the synthetic films carry by themselves?", GENERATOR, public=False, synthetic=100, crossfitted=True,
    ),
    Arm(
        "source-rule", "no film: the share of positives of each source of the public films",
        "How far does it go to recognise where a film was taken? (Validation only.)", NOTHING, learns="sources",
    ),
)  # fmt: skip
ARMS: dict[str, Arm] = {arm.name: arm for arm in _DECLARED}


def arm_of(name: str) -> Arm:
    """The arm of this name: declared, a dose (`synthetic-dose25`), or one at the baseline's number of steps
    (`synthetic-crossfit-equal-steps`). Raises `KeyError` for any other name."""
    if name in ARMS:
        return ARMS[name]
    if dose := re.fullmatch(rf"{DOSE_PREFIX}([1-9]\d?)", name):
        percent = int(dose[1])
        films = f"public films and {percent} % of the synthetic ones of synthetic-crossfit"
        question = "Does the effect grow with the number of synthetic films?"
        return replace(ARMS["synthetic-crossfit"], name=name, films=films, answers=question, synthetic=percent)
    parent = ARMS[name.removesuffix(EQUAL_STEPS)] if name.endswith(EQUAL_STEPS) else None
    if parent is None or not parent.network:
        raise KeyError(name)
    question = "The same question, with no more steps of training than the baseline has."
    return replace(parent, name=name, films=f"the films of {parent.name}", answers=question, equal_steps=True)


def dose_arm(percent: int) -> str:
    """The name of the arm with this percentage of the cross-fitted synthetic films."""
    return f"{DOSE_PREFIX}{percent}"


def check_names(names: Sequence[str]) -> None:
    """Raises `ValueError` for a name that no arm has, with the nearest that one has."""
    for name in names:
        if name not in ARMS:
            near = difflib.get_close_matches(name, ARMS, n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else f"known arms: {', '.join(ARMS)}"
            raise ValueError(f"found `{name}`, which is no arm; {hint}")
