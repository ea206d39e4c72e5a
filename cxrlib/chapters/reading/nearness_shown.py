"""Tables of the synthetic films as films, as people read them: copies, leaks, lungs."""

import pandas as pd

from cxrlib.chapters.words import with_interval


def copies_among_synthetic(table: pd.DataFrame) -> pd.DataFrame:
    """`memorisation.csv`: flags of each label and fold beside those of real films, and the planted copies caught."""
    return pd.DataFrame(
        {
            "label": table["label"],
            "fold": table["fold"],
            "synthetic films": table["films"],
            "flagged": table["flagged"],
            "flagged, %": _rates(table, "flag"),
            "of real films, %": _rates(table, "real"),
            "planted copies caught": [f"{row.caught} of {row.planted}" for row in table.itertuples()],
        }
    ).set_index(["label", "fold"])


def leaks(table: pd.DataFrame) -> pd.DataFrame:
    """`leaks.csv`: films with faults that real films hardly have, in per cent of synthetic and of real films."""
    return pd.DataFrame(
        {
            "label": table["label"],
            "fold": table["fold"],
            "trace": table["leak"],
            "synthetic films, %": _rates(table, "synthetic"),
            "real films, %": _rates(table, "real"),
        }
    ).set_index(["label", "fold", "trace"])


def lungs(table: pd.DataFrame) -> pd.DataFrame:
    """`anatomy.csv`: means and spreads of lung measures, synthetic beside real; one row of words without masks."""
    if table.empty:
        return pd.DataFrame({"lungs": ["no lung masks of the hospital's films"]})
    return pd.DataFrame(
        {
            "label": table["label"],
            "fold": table["fold"],
            "measure": table["measure"],
            "synthetic, mean ± SD": _mean_and_spread(table, "synthetic"),
            "real, mean ± SD": _mean_and_spread(table, "real"),
            "outside real films' middle 95 %, %": _rates(table, "outside"),
        }
    ).set_index(["label", "fold", "measure"])


def _mean_and_spread(table: pd.DataFrame, name: str) -> list[str]:
    means, spreads = table[f"{name}_mean"], table[f"{name}_sd"]
    return [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]


def _rates(table: pd.DataFrame, name: str) -> list[str]:
    columns = [f"{name}_rate", f"{name}_low", f"{name}_high"]
    return [with_interval(*values) for values in table[columns].to_numpy(float)]
