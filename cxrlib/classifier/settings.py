"""Settings of the classifiers: by default the paper's recipe (Schaudt et al. 2021)."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cxrlib.settings import Settings

Arm = Literal["baseline", "synthetic", "synthetic-crossfit", "oversampled"]


class ClassifierSettings(Settings):
    """One recipe for every arm; only the training data differ.

    `weights` is `imagenet` (through torchvision), `none` (random), or the path of a local `.safetensors` file.
    """

    network: str = "resnet50"
    weights: str = "imagenet"
    image_size: PositiveInt = Field(default=224, ge=32)
    batch_size: PositiveInt = Field(default=16, ge=2)
    frozen_epochs: NonNegativeInt = 5
    frozen_learning_rate: PositiveFloat = 0.001
    epochs: PositiveInt = 30
    maximum_learning_rate: PositiveFloat = 0.006
    rotation_degrees: NonNegativeFloat = 5.0
    horizontal_flip: bool = True
    arms: tuple[Arm, ...] = ("baseline", "synthetic", "synthetic-crossfit", "oversampled")
    seeds: PositiveInt = 5
