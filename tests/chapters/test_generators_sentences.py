"""Words of the chapters that follow from numbers."""

import pandas as pd
import pytest

from cxrlib.chapters.generators.sentences import believed, compared_with, fidelity, nearness, shares, trust, variety


def quality(synthetic, public):
    """Two folds; each distance as (estimate, low, high), the second fold's synthetic films a little farther."""
    rows = []
    for fold, farther in (("fold0", 0.0), ("fold1", 0.01)):
        for comparison, distance, more in (
            ("synthetic-hospital", synthetic, farther),
            ("public-hospital", public, 0.0),
            ("hospital-halves", (0.0, -0.1, 0.1), 0.0),
        ):
            values = dict(zip(("estimate", "low", "high"), (value + more for value in distance), strict=True))
            row = {"label": "positive", "fold": fold, "comparison": comparison}
            rows.append(row | {"measure": "kid", **values})
            # Other measures run the other way, and must not be taken for distances.
            rows.append(row | {"measure": "recall"} | {name: 1 - value for name, value in values.items()})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("synthetic", "public", "said"),
    [
        ((0.10, 0.05, 0.15), (1.0, 0.9, 1.1), "clearly nearer"),
        ((0.10, 0.05, 0.15), (0.2, 0.1, 0.3), "nearer to the hospital's films than the public ones are, but"),
        ((0.195, 0.1, 0.3), (0.2, 0.1, 0.3), "not nearer"),
        ((1.0, 0.9, 1.1), (0.2, 0.1, 0.3), "not nearer"),
    ],
)
def test_nearness_follows_the_intervals_of_every_fold(synthetic, public, said):
    assert nearness(quality(synthetic, public)).startswith(said)


def measured(recall, halves=(0.9, 0.85, 1.0), kinds=("unused", "unused"), measure="recall"):
    """Recall of (negative, positive) films, each (estimate, low, high), in two folds."""
    rows = []
    for label, share in zip(("negative", "positive"), recall, strict=True):
        for fold, kind in zip(("all", "fold0"), kinds, strict=True):
            for comparison, values in (("synthetic-hospital", share), ("hospital-halves", halves)):
                row = {"label": label, "fold": fold, "comparison": comparison, "measure": measure}
                row |= dict(zip(("estimate", "low", "high"), values, strict=True))
                rows.append(row | {"images_each": 30, "hospital_films": kind, "features": "f"})
    return pd.DataFrame(rows)


def test_only_folds_that_the_generators_did_not_learn_from_are_believed():
    table = measured(((0.8, 0.7, 0.9), (0.6, 0.5, 0.7)), kinds=("trained-on", "unused"))
    table.loc[table["fold"] == "all", ["estimate", "low", "high"]] = 1.0
    found = believed(table).set_index(["label", "comparison"])
    assert found.loc[("negative", "synthetic-hospital"), "estimate"] == 0.8
    assert compared_with(believed(table)) == "films of patients whom they never saw"
    seen = table[table["fold"] == "all"]
    assert believed(seen)["estimate"].eq(1).all()
    assert compared_with(believed(seen)) == "films that they were trained on"
    both = measured(((0.8, 0.7, 0.9), (0.6, 0.4, 0.8)), kinds=("unused", "unused"))
    both.loc[both["fold"] == "all", ["estimate", "low", "high"]] -= 0.2
    found = believed(both).set_index(["label", "comparison"])
    assert found.loc[("positive", "synthetic-hospital"), ["estimate", "low", "high"]].tolist() == pytest.approx(
        [0.5, 0.3, 0.7]
    )


NONE = (float("nan"),) * 3


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (((0.9, 0.8, 0.95), (0.88, 0.8, 0.93)), "the films of both labels show no clear lack of variety"),
        (((0.7, 0.6, 0.8), (0.6, 0.5, 0.7)), "the films of both labels are less varied than"),
        (((0.7, 0.6, 0.8), (0.3, 0.2, 0.99)), "the negative films are less varied than"),
        (((0.7, 0.6, 0.8), (0.3, 0.2, 0.99)), "the positive films lack most of the hospital's variety"),
        ((NONE, (0.9, 0.8, 0.95)), "the negative films are too few to say; the positive films show no clear lack"),
        ((NONE, NONE), "the films of both labels are too few to say"),
    ],
)
def test_what_is_said_of_variety_follows_recall(shares, said):
    believable = measured(((0.9, 0.8, 0.95),) * 2, measure="precision")
    assert said in variety(believed(pd.concat([measured(shares), believable])))


def test_a_high_recall_of_films_that_stray_is_no_merit():
    recall = measured(((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    precision = measured(((0.0, 0.0, 0.1), (0.9, 0.8, 0.95)), measure="precision")
    assert variety(believed(pd.concat([recall, precision]))) == (
        "the negative films are scattered so widely that their recall means nothing; "
        "the positive films show no clear lack of variety, which does not prove that they are as varied as the "
        "hospital's"
    )


def test_what_is_said_of_fidelity_follows_precision():
    low, high = (0.3, 0.2, 0.4), (0.9, 0.8, 0.95)
    said = fidelity(believed(measured((low, high), measure="precision")))
    assert said == (
        "most of the negative films lie outside what the hospital's films look like; "
        "the positive films do not lie among the hospital's films clearly less often than its own do, which does not "
        "prove them equal"
    )


def test_density_far_below_the_hospitals_own_is_not_passed_over():
    """Precision overlaps with the halves' while density lies clearly below theirs: both are given, with intervals."""
    precision = measured(((0.9, 0.8, 0.97),) * 2, measure="precision")
    others = [measured(((0.9, 0.8, 0.97),) * 2, measure=name) for name in ("recall", "coverage")]
    thin = measured(((0.55, 0.34, 0.71),) * 2, halves=(0.99, 0.73, 1.28), measure="density")
    said = shares(believed(pd.concat([precision, thin, *others])))
    assert "density disagrees with precision: density 0.55 (0.34 to 0.71) beside 0.99 (0.73 to 1.28)" in said
    assert "coverage disagrees" not in said


def test_trust_is_that_of_the_end_of_training_as_the_bold_line_of_its_figure():
    rising = pd.DataFrame({"real_sign": [0.1] * 22 + [0.5, 0.7]})
    assert "is 0.60 (negative) and 0.10 (positive);" in trust({"negative": rising, "positive": rising.head(22)})
