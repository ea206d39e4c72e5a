"""Which differences may be called a gain or a loss: the primary endpoint, and everything else as one family.

Whoever asks often will be wrong now and then. The primary endpoint was named before anything ran; its measures are one
family of questions, all others that the book answers with a verdict are a second one. Within a family p-values are
raised by Holm's method (Holm 1979), so that in at most five studies of a hundred any verdict of the family is wrong.
"""

from typing import Literal

import numpy as np
import pandas as pd

from cxrlib.evaluation.significance import holm

Verdict = Literal["gain", "loss", "no clear difference", "no verdict"]
LEVEL = 0.05
PRIMARY, SECONDARY = "primary", "secondary"
# Metrics of which less is better.
ERRORS = ("brier", "brier_calibrated")


def verdict(difference: float, p_adjusted: float, metric: str = "") -> Verdict:
    """A gain or a loss only below the level; without a p (a single run, or no interval) no verdict at all."""
    if np.isnan(p_adjusted) or np.isnan(difference):
        return "no verdict"
    if p_adjusted >= LEVEL:
        return "no clear difference"
    return "gain" if (difference > 0) != (metric in ERRORS) else "loss"


def with_verdicts(questions: pd.DataFrame) -> pd.DataFrame:
    """Questions (`family`, `metric`, `difference`, `p_value`, …) with `p_adjusted` within the family and `verdict`."""
    adjusted = questions.groupby("family")["p_value"].transform(holm)
    answered = zip(questions["difference"], adjusted, questions["metric"], strict=True)
    return questions.assign(p_adjusted=adjusted, verdict=[verdict(*answer) for answer in answered])
