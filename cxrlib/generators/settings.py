"""Settings of the generators and of the films they make."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from cxrlib.networks import NETWORKS, unknown_network, weights_file_problem
from cxrlib.settings import Settings

# A generator is not trained on fewer films, nor judged by fewer.
FEWEST_FILMS, FEWEST_HELD_OUT_FILMS = 8, 8
# Of several generators of a label and fold, the second and further ones have the fold's name with this and a number.
FURTHER = "-generator"
Augmentation = Literal["brightness", "contrast", "translation", "cutout"]
Comparison = Literal["random-start", "no-augmentation"]

# Settings by resolution and by the number of films per label, of the public films where training starts there; a
# column is a preset. Those of 64 pixels are for minutes to an hour on a CPU and were chosen by the films they gave in
# that time; path lengths and mixing have not been shown to be worth theirs there. Features of trained eyes are matched
# by the second, which is for real films; on a GPU that has not been tried. The others follow the papers: Zhao et al.
# 2020 (their low-shot recipe) for hundreds of films; Karras et al. 2020, "Training generative adversarial networks with
# limited data", for thousands, with its rule for R1, 0.0002 pixels over batch. Not as in the first: 8 mapping layers,
# not 2; half the channels at 256 px; a moving average whose half-life grows with the images seen. As in neither, the
# discriminator sees magnified bands beside the film.
THREE: tuple[Augmentation, ...] = ("brightness", "contrast", "translation")
FOUR: tuple[Augmentation, ...] = (*THREE, "cutout")
PRESET_NAMES = (
    "64px-hundreds", "64px-thousands", "128px-hundreds", "256px-hundreds", "256px-thousands", "512px-hundreds",
)  # fmt: skip
PRESET_TABLE: dict[str, tuple[Any, ...]] = {
    "resolution":                  (64,     64,     128,     256,     256,       512),
    "latent_dim":                  (64,     128,    512,     512,     512,       512),
    "mapping_layers":              (2,      2,      8,       8,       8,         8),
    "channel_base":                (512,    512,    16_384,  16_384,  16_384,    32_768),
    "channel_max":                 (64,     64,     512,     512,     512,       512),
    "eigenfilms":                  (True,   True,   False,   False,   False,     False),
    "batch_size":                  (8,      8,      8,       8,       32,        8),
    "learning_rate":               (0.0015, 0.0015, 0.002,   0.002,   0.0025,    0.002),
    "discriminator_learning_rate": (0.004,  0.004,  0.002,   0.002,   0.0025,    0.002),
    "r1_weight":                   (0.5,    0.5,    10.0,    10.0,    0.4,       10.0),
    "path_length_weight":          (0.0,    0.0,    2.0,     2.0,     2.0,       2.0),
    "feature_matching_weight":     (0.0,    30.0,   0.0,     0.0,     0.0,       0.0),
    "style_mixing_probability":    (0.0,    0.0,    0.9,     0.9,     0.9,       0.9),
    "ema_half_life_images":        (500,    1000,   10_000,  10_000,  10_000,    10_000),
    "augmentations":               (THREE,  THREE,  FOUR,    FOUR,    FOUR,      FOUR),
    "adaptive_target":             (None,   None,   None,    None,    0.6,       None),
    "total_images":                (3000,   16_000, 300_000, 300_000, 1_000_000, 300_000),
    "checkpoint_images":           (600,    2000,   10_000,  10_000,  20_000,    10_000),
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    preset: {name: values[column] for name, values in PRESET_TABLE.items()}
    for column, preset in enumerate(PRESET_NAMES)
}

# For the films of 256 pixels and the few hundred of a label that the paper had.
PAPER_PRESET = "256px-hundreds"


def generator_name(fold: str, number: int) -> str:
    """What the generators of a fold are called: `fold0`, and where there are several `fold0-generator2`, …; `number`
    counts from 0."""
    return f"{fold}{FURTHER}{number + 1}" if number else fold


def fold_of(name: str) -> str:
    """The fold whose patients such generators never saw; `all` or `public` where they saw everybody."""
    return name.partition(FURTHER)[0]


def start_of(name: str) -> str:
    """The generators of the public films at which such generators start."""
    return "public" + name.removeprefix(fold_of(name))


class GanSettings(Settings):
    """One generator per label and fold, or several: a style-based network trained with differentiable augmentation.

    Lengths of training are counted in images shown to the discriminator. Sources: Karras et al. 2020 (networks, lazy
    R1, moving average), Zhao et al. 2020 (augmentation, batch 8, learning rate 0.002, R1 weight 10, 300,000 images).
    R1 counts as if the discriminator saw the plain film without its magnified bands.
    With `eigenfilms`, which is in neither paper, a generator begins at principal components of its training films
    (up to `latent_dim` of them, at most 64×64 pixels) instead of at noise: for budgets of minutes. So is a
    `feature_matching_weight`, with which films are also to have, on average, the features that EfficientNet-Lite1 finds
    in real ones; it counts where a training starts from the generator of the public films.

    Where there are `seeds` generators of a label and fold, run k of a classifier learns from the films of generator k
    modulo their number, and its intervals count them as a source of chance.

    A `preset` names one of `PRESETS`, and what is written beside it wins; without one, the paper's is meant, which the
    defaults repeat. A weight, probability or percentage of 0 turns its part off, and so does an `adaptive_target` of
    null.

    A `second_judge`, a network of `cxrlib.networks.NETWORKS` with weights from a .safetensors file, measures finished
    films beside the first; it chooses no snapshot.
    """

    preset: str = PAPER_PRESET
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
    path_length_weight: NonNegativeFloat = 2.0
    path_length_interval_steps: PositiveInt = 4
    feature_matching_weight: NonNegativeFloat = 0.0
    style_mixing_probability: float = Field(default=0.9, ge=0, le=1)
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
    seeds: PositiveInt = 1
    second_judge: str = ""
    second_judge_weights: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_the_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = PRESETS.get(str(values.get("preset", PAPER_PRESET)), {})
        # A study file has lists where settings have tuples.
        return preset | {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"found `{value}`; presets are {', '.join(PRESETS)}")
        return value

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

    @model_validator(mode="after")
    def _second_judge_can_be_had(self) -> "GanSettings":
        if self.second_judge and self.second_judge not in NETWORKS:
            raise ValueError(f"second_judge: {unknown_network(self.second_judge)}")
        if bool(self.second_judge) != bool(self.second_judge_weights):
            raise ValueError(
                f"second_judge: found `{self.second_judge}` with second_judge_weights: `{self.second_judge_weights}`; "
                "expected a network and its .safetensors file, or neither"
            )
        if self.second_judge and (problem := weights_file_problem(self.second_judge_weights)):
            raise ValueError(f"second_judge_weights: {problem}")
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
