"""The arm without a network: it looks at where a film comes from, and at nothing else.

How well it does on the public films is how far their labels can be told by recognising the scanner. It can't speak
about a hospital, whose films all come from one place that the public films lack.
"""

import numpy as np
import pandas as pd

SOURCE_COLUMNS = ("source", "negative", "positive", "p_positive")


def fit_source_rule(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rule: one row per known source of the training films, columns `SOURCE_COLUMNS`; and one for all others.

    `p_positive` is the positive share with Laplace's correction, (positive + 1) / (films + 2), so that no source is
    certain. The row without a name holds for films whose source is unknown or absent from training: the share among
    all training films.
    """
    positive = (manifest["label"] == "positive").to_numpy()
    sources = manifest["source"].fillna("").astype(str).to_numpy()
    rows = [(name, positive[sources == name]) for name in sorted(set(sources) - {""})]
    table = [(name, int((~found).sum()), int(found.sum())) for name, found in [*rows, ("", positive)]]
    return pd.DataFrame(
        [(name, negatives, positives, (positives + 1) / (negatives + positives + 2))
         for name, negatives, positives in table],
        columns=list(SOURCE_COLUMNS),
    )  # fmt: skip


def predict_from_source(rule: pd.DataFrame, manifest: pd.DataFrame) -> np.ndarray:
    """p_positive of each film, float64 (N,)."""
    shares = dict(zip(rule["source"], rule["p_positive"], strict=True))
    sources = manifest["source"].fillna("").astype(str)
    return sources.map(shares).fillna(shares[""]).to_numpy(np.float64)
