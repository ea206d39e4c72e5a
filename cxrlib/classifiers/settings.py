"""Settings of the classifiers: by default the paper's recipe (Schaudt et al. 2021)."""

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from cxrlib.classifiers.arms import ARMS, EQUAL_STEPS, Arm, check_names, dose_arm
from cxrlib.networks import NETWORKS, unknown_network, weights_file_problem
from cxrlib.settings import Settings

# An arm that goes on from a finished model is trained so many epochs, at this share of the highest learning rate.
FINE_TUNING = {"frozen_epochs": 0, "epochs": 5}
FINE_TUNING_RATE = 0.1


class ClassifierSettings(Settings):
    """One recipe for every arm; only the training data differ.

    `network` is one of `cxrlib.networks.NETWORKS`. `weights` is `imagenet` (through torchvision; those of
    `efficientnet_lite0` and `efficientnet_lite1` need no download), `none` (random), or the path of a local
    `.safetensors` file, which must have the SHA-256 `weights_sha256` if that is given. An epoch is one pass over an
    arm's own films (the paper's way: more films, more steps); each arm of `equal_steps` is trained once more, as an arm
    of its own, with as many films an epoch, and so optimiser steps, as the baseline. `doses` are percentages of the
    cross-fitted synthetic films, each an arm of its own.
    """

    network: str = "resnet50"
    weights: str = "imagenet"
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    image_size: PositiveInt = Field(default=224, ge=32)
    batch_size: PositiveInt = Field(default=16, ge=2)
    frozen_epochs: NonNegativeInt = 5
    frozen_learning_rate: PositiveFloat = 0.001
    epochs: PositiveInt = 30
    maximum_learning_rate: PositiveFloat = 0.006
    rotation_degrees: NonNegativeFloat = 5.0
    horizontal_flip: bool = True
    arms: tuple[str, ...] = Field(default_factory=lambda: tuple(ARMS))
    equal_steps: tuple[str, ...] = ()
    doses: tuple[int, ...] = ()
    seeds: PositiveInt = 5

    @field_validator("network")
    @classmethod
    def _network_is_known(cls, value: str) -> str:
        if value not in NETWORKS:
            raise ValueError(unknown_network(value))
        return value

    @field_validator("weights")
    @classmethod
    def _weights_can_be_had(cls, value: str) -> str:
        if value in ("imagenet", "none"):
            return value
        if problem := weights_file_problem(value):
            raise ValueError(problem.replace("expected the", "expected `imagenet`, `none`, or the"))
        return value

    @field_validator("arms")
    @classmethod
    def _arms_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_names(value)
        if "baseline" not in value or len(set(value)) != len(value):
            raise ValueError(f"found {list(value)}; expected each arm once, `baseline` among them")
        return value

    @field_validator("doses")
    @classmethod
    def _doses_are_percentages(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or any(not 1 <= dose <= 99 for dose in value):
            raise ValueError(
                f"found {list(value)}; expected whole percentages from 1 to 99, each once, the smallest first "
                "(0 % is the baseline, 100 % is synthetic-crossfit)"
            )
        return value

    @model_validator(mode="after")
    def _settings_agree(self) -> "ClassifierSettings":
        if self.doses and "synthetic-crossfit" not in self.arms:
            raise ValueError(
                f"doses: found {list(self.doses)}, but arms lacks synthetic-crossfit, the 100 % of the dose curve; "
                "add that arm, or leave out the doses"
            )
        for place, arm in enumerate(self.arms):
            before = ARMS[arm].starts_from
            if before and before not in self.arms[:place]:
                raise ValueError(f"arms: `{arm}` goes on from `{before}`; list `{before}` before it")
        networks = {arm for arm in self.arms if ARMS[arm].network and arm != "baseline"}
        if not networks.issuperset(self.equal_steps) or len(set(self.equal_steps)) != len(self.equal_steps):
            raise ValueError(
                f"equal_steps: found {list(self.equal_steps)}; expected arms of `arms` that train a network, each "
                "once, and not the baseline, whose steps they take"
            )
        if self.weights_sha256 and self.weights in ("imagenet", "none"):
            raise ValueError(
                f"weights_sha256: found with weights: {self.weights}; it is for a .safetensors file "
                "(ImageNet weights are checked anyway)"
            )
        return self

    def recipe_of(self, arm: Arm) -> "ClassifierSettings":
        """The settings an arm is trained with: gentler than the study's where it goes on from another model."""
        if not arm.starts_from:
            return self
        rate = FINE_TUNING_RATE * self.maximum_learning_rate
        return self.model_copy(update={**FINE_TUNING, "maximum_learning_rate": rate})

    @property
    def all_arms(self) -> tuple[str, ...]:
        """Every arm that is trained: those of the study file, those at equal steps, then the doses."""
        equal = (f"{arm}{EQUAL_STEPS}" for arm in self.equal_steps)
        return (*self.arms, *equal, *(dose_arm(percent) for percent in self.doses))
