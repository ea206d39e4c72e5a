"""Sentences about single arms, by what the tables say of them."""

from cxrlib.chapters.wording import HEADLINE, Evidence, joined

OUTCOMES = {"gain": "gives a gain", "loss": "gives a loss", "no clear difference": "makes no clear difference"}


def rebalancing(found: Evidence) -> str:
    """What drawing public positives again and again gives, and whether synthetic films give more."""
    effect = found.difference("oversampled")
    if effect is None:
        return "Whether rebalancing alone would do was not tried: the study has no oversampled arm."
    return (
        "Drawing public positives again and again, to the same proportions, changes recall by "
        f"{effect}: rebalancing alone {OUTCOMES[effect.verdict]}{_beyond(found, 'oversampled')}."
    )


def class_weighted(found: Evidence) -> str:
    """The same balance by weights in the loss."""
    effect = found.difference("class-weighted")
    if effect is None:
        return "Weighting the rarer label in the loss was not tried: the study has no class-weighted arm."
    return (
        f"Weighting the rarer label in the loss instead changes recall by {effect}: it {OUTCOMES[effect.verdict]}"
        f"{_beyond(found, 'class-weighted')}."
    )


def synthetic_only(found: Evidence) -> str:
    """What synthetic films carry by themselves."""
    effect, level = found.difference("synthetic-only"), found.level("synthetic-only")
    area, apart = found.level("synthetic-only", "roc_auc"), found.difference("synthetic-only", "roc_auc")
    if effect is None or level is None or apart is None:
        return "What synthetic films carry by themselves was not tried: the study has no arm without public films."
    ranks = {
        "gain": "ranks films better than the baseline",
        "loss": "ranks films worse than the baseline",
        "no clear difference": "ranks films not clearly better or worse than the baseline",
    }[apart.verdict]
    return (
        f"Trained on synthetic films alone, by generators that never saw the films under test, the classifier finds "
        f"{level} of the positives: it {OUTCOMES[effect.verdict]} against the public films alone ({effect}), and it "
        f"{ranks} (area under the ROC curve {area}, {apart})."
    )


def dose(found: Evidence) -> str:
    """How recall goes with the number of synthetic films."""
    table = found.rows("dose", role="hospital", metric=HEADLINE).sort_values("dose_percent")
    if len(table) < 3:
        return "How many synthetic films it takes was not tried: the study has no dose curve."
    parts = [f"{100 * row.estimate:.1f} % with {row.dose_percent} %" for row in table.itertuples()]
    smallest = int(table["dose_percent"].iloc[1])
    more = found.difference("synthetic-crossfit", reference=f"synthetic-dose{smallest}")
    sentence = f"Of the positives, the classifier finds {joined(parts)} of the synthetic films"
    if more is None:
        return f"{sentence}."
    outcome = {
        "gain": "the rest gives a further gain",
        "loss": "the rest gives a loss",
        "no clear difference": "the rest makes no clear difference",
    }[more.verdict]
    return f"{sentence}; after the first {smallest} %, {outcome} ({more})."


def _beyond(found: Evidence, reference: str) -> str:
    """Whether synthetic films, leak-free if the study has them, give more than this arm."""
    arm = "synthetic-crossfit" if found.difference("synthetic-crossfit") else "synthetic"
    contrast = found.difference(arm, reference=reference)
    if contrast is None:
        return ""
    outcome = {
        "gain": "synthetic films give more than it",
        "loss": "synthetic films give less than it",
        "no clear difference": "synthetic films are not clearly better or worse than it",
    }[contrast.verdict]
    return f", and {outcome} ({contrast})"
