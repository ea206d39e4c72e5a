"""Settings of the evaluation: what a study is to be judged by."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from cxrlib.settings import Settings

Measure = Literal[
    "roc_auc", "balanced_accuracy", "average_precision", "accuracy", "mcc", "recall_positive", "recall_negative",
    "recall_at_precision",
]  # fmt: skip


class EndpointSettings(Settings):
    """The primary endpoint: `arm` against `reference` on the hospital's films, by one to three `measures`.

    It is declared before any hospital film is opened, and from then on it is fixed. Measures at a threshold are those
    at one half. All other differences are secondary.
    """

    arm: str = "synthetic-crossfit"
    reference: str = "baseline"
    measures: tuple[Measure, ...] = Field(default=("roc_auc", "balanced_accuracy"), min_length=1, max_length=3)

    @field_validator("measures")
    @classmethod
    def _each_measure_once(cls, value: tuple[Measure, ...]) -> tuple[Measure, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"found {list(value)}; expected each measure once")
        return value

    @model_validator(mode="after")
    def _two_arms(self) -> "EndpointSettings":
        if self.arm == self.reference:
            raise ValueError(f"found `{self.arm}` as arm and as reference; expected two arms")
        return self
