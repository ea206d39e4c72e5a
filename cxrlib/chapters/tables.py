"""Tables for display that more than one chapter needs."""

import pandas as pd

from cxrlib.settings import Settings


def settings(stage: Settings) -> pd.DataFrame:
    """The settings of a stage, one per row."""
    rows = [
        (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in stage.model_dump().items()
    ]
    return pd.DataFrame(rows, columns=["setting", "value"]).set_index("setting")
