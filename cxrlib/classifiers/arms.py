"""The arms, each declared once: every table, figure, word and order of work that names an arm derives from here.

An arm is one recipe of training data for the classifier. A new one is an entry in `ARMS`, made from the parts that an
`Arm` has; it is then trained, tabulated, drawn and explained like the others.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

# The ladder: what an arm's training holds of the hospital, from the least to the most.
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
    the ladder. What it learns from: `public` films, `repeated` until they are as many as the arm `synthetic` has;
    `synthetic`, so many per cent of the synthetic ones; `hospital`, the films that the fold's generators learned from,
    `repeated` until, with the synthetic ones, they are as many as all synthetic ones, or `once`. `look` moves the
    public films towards these hospital films, in a way that `cxrlib.classifiers.composition.LOOKS` knows by this name.
    `balance` imitates the labels' proportions in the arm `synthetic`, by films `drawn` again or by a loss that is
    `weighted`. `augmentation` is the paper's or `strong`. `starts_from` is an arm whose model of the same seed is
    trained further. `learns` is a `network`; a `threshold` for the answers of the arm it starts from; or the `sources`
    of the public films. With `crossfitted` it has one model per fold, which uses nothing of that fold's patients. With
    `equal_steps` an epoch has as many films, and so optimiser steps, as one of the baseline.
    """

    name: str
    films: str
    answers: str
    rung: str
    public: bool = True
    repeated: bool = False
    synthetic: int = 0
    hospital: Literal["", "repeated", "once"] = ""
    look: str = ""
    balance: Literal["", "drawn", "weighted"] = ""
    augmentation: Literal["paper", "strong"] = "paper"
    starts_from: str = ""
    learns: Literal["network", "threshold", "sources"] = "network"
    crossfitted: bool = False
    equal_steps: bool = False

    def __post_init__(self) -> None:
        if self.uses_hospital and not self.crossfitted:
            raise ValueError(f"arm `{self.name}` learns from hospital films: it has to be cross-fitted")

    @property
    def network(self) -> bool:
        """Whether it trains a network, and so has a log, steps and a map of what it looked at."""
        return self.learns == "network"

    @property
    def judges_hospital(self) -> bool:
        """Whether it predicts the hospital's films; the rule of sources can't, since it knows public sources only."""
        return self.learns != "sources"

    @property
    def uses_hospital(self) -> bool:
        """Whether it learns from hospital films themselves, of the patients outside its fold."""
        return bool(self.hospital or self.look) or self.learns == "threshold"

    @property
    def needs_synthetic(self) -> bool:
        """Whether the synthetic films have to be made first: it learns from them, or counts them."""
        return self.synthetic > 0 or self.counts_synthetic

    @property
    def counts_synthetic(self) -> bool:
        """Whether it has as many films, or proportions, as follow from the number of synthetic films."""
        return bool(self.balance) or self.repeated or self.hospital == "repeated"

    @property
    def added_percent(self) -> int:
        """Films beside the public ones in one epoch, as a share of the synthetic films, in per cent."""
        return 100 if self.repeated or self.hospital == "repeated" else self.synthetic


_DECLARED = (
    Arm("baseline", "public films", "How well do public films alone prepare for the hospital?", NOTHING),
    Arm(
        "classical-augmentation", "public films under strong changes: turned, sheared, shifted, other grey levels",
        "Would classical augmentation have done as well?", NOTHING, augmentation="strong",
    ),
    Arm(
        "duplicated", "public films, repeated until they are as many as in the synthetic arm",
        "Is the gain only that of more steps of training?", NOTHING, repeated=True,
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
        "threshold-moved", "no film: the baseline, with a threshold from hospital films of patients outside the fold",
        "Is the gain only that of a moved threshold?", BALANCE, public=False, starts_from="baseline",
        learns="threshold", crossfitted=True,
    ),
    Arm(
        "style-matched", "public films, each with the grey levels of a hospital film of a patient outside the fold",
        "Is it the hospital's look that helps, without any generator?", LOOK, look="grey levels",
        crossfitted=True,
    ),
    Arm(
        "style-matched-spectrum",
        "public films, each with the broad lights and shades (low spatial frequencies) of such a hospital film",
        "The same question, of another side of the look.", LOOK, look="amplitudes", crossfitted=True,
    ),
    Arm(
        "synthetic-only", "synthetic films alone, of generators that never saw the fold under test",
        "What do the synthetic films carry by themselves?", GENERATOR, public=False, synthetic=100, crossfitted=True,
    ),
    Arm(
        "synthetic-crossfit", "public films and synthetic ones, of generators that never saw the fold under test",
        "Is the gain real, or did the test leak into the training?",
        GENERATOR, synthetic=100, crossfitted=True,
    ),
    Arm(
        "synthetic", "public films and synthetic ones, of generators that learned from all hospital films",
        "Do synthetic films help? (The paper's way: the generators have seen the films of the test.)",
        GENERATOR, synthetic=100,
    ),
    Arm(
        "real-crossfit",
        "public films and the very hospital films that the fold's generators learned from, repeated to the count of "
        "the synthetic ones",
        "Does the generator add anything to the films it was made from?", FILMS, hospital="repeated", crossfitted=True,
    ),
    Arm(
        "real-and-synthetic-crossfit",
        "public films, half as many synthetic ones, and as many of those hospital films in place of the other half",
        "Do both together give more than either?", FILMS, synthetic=50, hospital="repeated", crossfitted=True,
    ),
    Arm(
        "fine-tuned-crossfit", "the baseline, trained a few epochs further on those hospital films alone",
        "Would the hospital's few films by themselves have done as well?", FILMS,
        public=False, hospital="once", starts_from="baseline", crossfitted=True,
    ),
    Arm(
        "source-rule", "no film: the share of positives of each source of the public films",
        "How far does one get by recognising where a film was taken? (Public films only.)", NOTHING, learns="sources",
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
