"""Settings of the generators and of the films they make."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from cxrlib.settings import Settings

FEWEST_FILMS = 8
FEWEST_HELD_OUT_FILMS = 8
Augmentation = Literal["brightness", "contrast", "translation", "cutout"]
Comparison = Literal["random-start", "no-augmentation"]


class GanSettings(Settings):
    """One generator per label and fold: a style-based network trained with differentiable augmentation.

    Lengths of training are counted in images shown to the discriminator. Sources: Karras et al. 2020 (networks, lazy
    R1, moving average), Zhao et al. 2020 (augmentation, batch 8, learning rate 0.002, R1 weight 10, 300,000 images).
    With `eigenfilms`, which is in neither paper, a generator begins at principal components of its training films
    (up to `latent_dim` of them, at most 64×64 pixels) instead of at noise: for budgets of minutes.

    A weight, probability or percentage of 0 turns its part off, and so does an `adaptive_target` of null.
    """

    preset: str | None = None

    resolution: PositiveInt = 256
    latent_dim: PositiveInt = 512
    mapping_layers: PositiveInt = 8
    channel_base: PositiveInt = 16384
    channel_max: PositiveInt = 512
    modulation: Literal["demodulated", "adain"] = "demodulated"
    eigenfilms: bool = False
    batch_size: PositiveInt = Field(default=8, ge=4)
    learning_rate: PositiveFloat = 0.002
    discriminator_learning_rate: PositiveFloat = 0.002
    r1_weight: PositiveFloat = 10.0
    r1_interval_steps: PositiveInt = 16
    path_length_weight: NonNegativeFloat = 0.0
    path_length_interval_steps: PositiveInt = 4
    style_mixing_probability: float = Field(default=0.0, ge=0, le=1)
    ema_half_life_images: PositiveInt = 10_000
    ema_warmup: PositiveFloat = 0.1
    augmentations: tuple[Augmentation, ...] = ("brightness", "contrast", "translation", "cutout")
    adaptive_target: float | None = Field(default=None, gt=0, lt=1)
    horizontal_flips: bool = False
    total_images: PositiveInt = 300_000
    initialise_from: Literal["random", "public"] = "random"
    public_images: NonNegativeInt = 0
    checkpoint_images: PositiveInt = 10_000
    held_out_percent: int = Field(default=20, ge=0, le=50)
    comparisons: tuple[Comparison, ...] = ()
    comparison_label: Literal["negative", "positive"] = "negative"

    @model_validator(mode="after")
    def _comparisons_differ_from_the_standard(self) -> "GanSettings":
        if self.comparisons and not self.held_out_percent:
            raise ValueError(
                f"comparisons: found {', '.join(self.comparisons)} with held_out_percent: 0; generators are compared "
                "by films held out from their training, so hold some out or compare none"
            )
        if "random-start" in self.comparisons and self.initialise_from == "random":
            raise ValueError(
                "comparisons: found random-start with initialise_from: random, which every generator has then; "
                "take it out, or set initialise_from: public"
            )
        if "no-augmentation" in self.comparisons and not self.augmentations:
            raise ValueError(
                "comparisons: found no-augmentation with augmentations: [], which every generator has then; "
                "take it out, or name augmentations"
            )
        return self

    @field_validator("resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value not in (32, 64, 128, 256, 512):
            raise ValueError(f"found {value}; a generator's resolution is 32, 64, 128, 256 or 512 pixels")
        return value


class SynthesisSettings(Settings):
    """How many synthetic films each generator makes, and how typical they are (truncation 1.0 draws from all)."""

    images_per_label: PositiveInt = 10_000
    truncation: float = Field(default=1.0, gt=0, le=1)
    # Classifiers do without the films that most readers called not usable: the reading then comes before them.
    exclude_rejected: bool = False
