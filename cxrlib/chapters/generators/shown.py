"""Tables of the chapters on generators and classifiers: settings, arms, composition, time, quality."""

import pandas as pd

from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import MATCHING_INTERVAL_STEPS

COMPARISONS = {
    "hospital-halves": "hospital, one half against the other",
    "synthetic-hospital": "synthetic against hospital",
    "public-hospital": "public against hospital",
}
MEASURES = {
    "kid": "kernel distance",
    "kid_second": "kernel distance, second judge",
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "sides": "left against right (grey levels)",
}


def loss_terms(gan: GanSettings) -> pd.DataFrame:
    """What the two networks are trained to do, a term per row, and how much of it this study uses."""
    every = "every {} steps".format
    rows = [
        ("generator", "logistic", "be taken for real", "always"),
        (
            "generator", "feature matching", "have on average the features of real films, as a network trained on "
            "photographs sees them",
            f"weight {gan.feature_matching_weight:g}, {every(MATCHING_INTERVAL_STEPS)}"
            if gan.feature_matching_weight and gan.initialise_from == "public" else "off",
        ),
        (
            "generator", "path length", "let equal steps in style change films equally",
            f"weight {gan.path_length_weight:g}, {every(gan.path_length_interval_steps)}"
            if gan.path_length_weight else "off",
        ),
        (
            "generator", "style mixing", "let coarse and fine styles come from different lists",
            f"{100 * gan.style_mixing_probability:.0f} % of the films" if gan.style_mixing_probability else "off",
        ),
        ("discriminator", "logistic", "tell real films from generated ones", "always"),
        (
            "discriminator", "gradient penalty", "tiny changes of a real film must not change the verdict",
            f"weight {gan.r1_weight:g}, {every(gan.r1_interval_steps)}",
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["network", "term", "what it asks for", "here"]).set_index(["network", "term"])


def quality(table: pd.DataFrame) -> pd.DataFrame:
    """Every measure of each label beside the same between two halves of the hospital's films; intervals in brackets."""
    shown = table.assign(
        measure=table["measure"].map(MEASURES).fillna(table["measure"]),
        comparison=table["comparison"].map(COMPARISONS).fillna(table["comparison"]),
        value=[_measure(row.estimate, row.low, row.high) for row in table.itertuples()],
    )
    columns = [name for name in COMPARISONS.values() if name in set(shown["comparison"])]
    rows = list(dict.fromkeys(zip(shown["measure"], shown["label"], strict=True)))
    return shown.pivot(index=["measure", "label"], columns="comparison", values="value").loc[rows, columns]


def _measure(estimate: float, low: float, high: float) -> str:
    """Three digits at most; a dash where it is not known."""
    if pd.isna(estimate):
        return "–"
    digits = 0 if abs(high) >= 20 else 1 if abs(high) >= 5 else 2
    estimate, low, high = (
        f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212") for value in (estimate, low, high)
    )
    return f"{estimate} ({low} to {high})"
