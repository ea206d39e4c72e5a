"""Words of the chapters that follow from numbers."""

import pandas as pd
import pytest

from cxrlib.narration import nearness


def quality(synthetic, public):
    """Two folds; each distance as (kid, kid_low, kid_high), the second fold's synthetic films a little farther."""
    rows = []
    for fold, farther in (("fold0", 0.0), ("fold1", 0.01)):
        for comparison, distance, more in (
            ("synthetic-hospital", synthetic, farther),
            ("public-hospital", public, 0.0),
            ("hospital-halves", (0.0, -0.1, 0.1), 0.0),
        ):
            values = dict(zip(("kid", "kid_low", "kid_high"), (value + more for value in distance), strict=True))
            rows.append({"label": "positive", "fold": fold, "comparison": comparison, **values})
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
