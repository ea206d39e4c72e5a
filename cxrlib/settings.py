"""The base of all settings: frozen, complete, and closed against misspelt keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one stage. Unknown keys fail; values never change after validation.

    Each stage derives its own in a `settings.py` beside the functions that use it. Those modules import nothing heavy,
    so that a study can be validated and shown without loading torch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
