"""The questions that the book answers with a verdict, before any answer is known."""

import pandas as pd

from cxrlib.classifiers.arms import EQUAL_STEPS
from cxrlib.evaluation.settings import EndpointSettings
from cxrlib.evaluation.significance import PRIMARY, SECONDARY, with_verdicts

BASELINE = "baseline"
RANKING, SENSITIVITY, SPECIFICITY, BALANCED = "roc_auc", "recall_positive", "recall_negative", "balanced_accuracy"
AT_PRECISION = "recall_at_precision"
# The arms that the endpoint's arm is held against, and what each comparison is about.
RIVALS = (
    "real-crossfit", "synthetic", "oversampled", "class-weighted", "duplicated", "classical-augmentation",
    "style-matched", "threshold-moved",
)  # fmt: skip
# Besides them: do films and synthetic films add up?
TOGETHER = ("real-and-synthetic-crossfit", "real-crossfit")
Question = tuple[str, str, str, str]  # arm, reference, operating point, metric


def headline_arm(arms: list[str], endpoint: EndpointSettings | None) -> str | None:
    """The arm that the answer is about: the endpoint's, else one with synthetic films, without leakage if possible."""
    if endpoint is not None:
        return endpoint.arm
    return next((arm for arm in ("synthetic-crossfit", "synthetic") if arm in arms), None)


def questions(arms: list[str], doses: list[str], endpoint: EndpointSettings | None) -> dict[Question, str]:
    """Each question and its family; `arms` are those that judge the hospital's films, `doses` those of the curve."""
    asked: dict[Question, str] = {}

    def ask(arm: str, reference: str, metric: str, point: str = "fixed", family: str = SECONDARY) -> None:
        if {arm, reference} <= {*arms, *doses} and arm != reference:
            asked.setdefault((arm, reference, point, metric), family)

    headline = headline_arm(arms, endpoint)
    if endpoint is not None:
        for metric in endpoint.measures:
            ask(endpoint.arm, endpoint.reference, metric, family=PRIMARY)
    for arm in arms:
        ask(arm, BASELINE, RANKING)
    if headline is not None:
        for metric in (BALANCED, SENSITIVITY, SPECIFICITY, AT_PRECISION):
            ask(headline, BASELINE, metric)
        for metric in (SENSITIVITY, SPECIFICITY):
            ask(headline, BASELINE, metric, "validation")
        for rival in RIVALS:
            ask(headline, rival, RANKING)
        ask(headline, next(iter(doses), headline), RANKING)
        equal = f"{headline}{EQUAL_STEPS}"
        for pair in ((headline, equal), (equal, f"real-crossfit{EQUAL_STEPS}")):
            ask(*pair, RANKING)
    ask("synthetic", BASELINE, SENSITIVITY)
    ask(*TOGETHER, RANKING)
    return asked


def verdict_table(contrasts: pd.DataFrame, asked: dict[Question, str]) -> pd.DataFrame:
    """The answers, on the hospital's films: the rows of `contrasts` with `family`, `p_adjusted` and `verdict`."""
    keys = ["arm", "reference", "operating_point", "metric"]
    rows = contrasts[contrasts["role"] == "hospital"].set_index(keys)
    found = rows.loc[[question for question in asked if question in rows.index]].reset_index()
    families = [asked[question] for question in found[keys].itertuples(index=False, name=None)]
    return with_verdicts(found.drop(columns="role").assign(family=families))
