import pytest
from pydantic import ValidationError

from cxrlib.generators.settings import PRESET_TABLE, PRESETS, GanSettings
from cxrlib.study import load_study


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_its_column_and_is_named_after_it(name):
    settings = GanSettings(preset=name)
    assert settings.model_dump(include=set(PRESET_TABLE)) == PRESETS[name]
    assert name.startswith(f"{settings.resolution}px-")


def test_without_a_preset_everything_has_the_paper_s_value():
    assert GanSettings() == GanSettings(preset="256px-hundreds")
    written = {name: field.get_default() for name, field in GanSettings.model_fields.items()}
    assert written == GanSettings().model_dump(), "the defaults of the fields say the same"


def test_what_a_study_file_says_wins_over_its_preset(write_tiny_study):
    changes = {"preset": "64px-thousands", "augmentations": ["cutout"], "eigenfilms": False, "learning_rate": 1}
    file = write_tiny_study(gan=changes)
    gan = load_study(file).gan
    assert (gan.augmentations, gan.eigenfilms, gan.learning_rate) == (("cutout",), False, 1)
    assert gan.discriminator_learning_rate == PRESETS["64px-thousands"]["discriminator_learning_rate"]
    assert load_study(file).resolved()["gan"]["discriminator_learning_rate"] == gan.discriminator_learning_rate


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="found `64px`; presets are 64px-hundreds, 64px-thousands"):
        GanSettings(preset="64px")


def test_small_studies_keep_the_settings_that_were_tuned_for_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    tuned = {
        "resolution": 64, "mapping_layers": 2, "channel_base": 512, "channel_max": 64, "eigenfilms": True,
        "batch_size": 8, "learning_rate": 0.0015, "discriminator_learning_rate": 0.004, "r1_weight": 0.5,
        "augmentations": ("brightness", "contrast", "translation"), "path_length_weight": 0,
        "style_mixing_probability": 0, "modulation": "demodulated", "horizontal_flips": False, "adaptive_target": None,
    }  # fmt: skip
    demo, small = load_study("demo").gan, load_study("public-small").gan
    for gan in (demo, small):
        assert gan.model_dump(include=set(tuned)) == tuned
    own = ("latent_dim", "ema_half_life_images", "public_images", "total_images", "checkpoint_images")
    own = (*own, "feature_matching_weight")
    assert [getattr(demo, name) for name in own] == [64, 500, 4000, 3000, 600, 0]
    assert [getattr(small, name) for name in own] == [128, 1000, 30000, 24000, 2000, 30]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"second_judge": "resnet18"}, "expected a network and its .safetensors file, or neither"),
        ({"second_judge_weights": "x.safetensors"}, "expected a network and its .safetensors file, or neither"),
        ({"second_judge": "resnet19", "second_judge_weights": "x.safetensors"}, "did you mean `resnet18`"),
        ({"second_judge": "resnet18", "second_judge_weights": "x.pth"}, r"expected the path of a \.safetensors file"),
        ({"second_judge": "resnet18", "second_judge_weights": "absent.safetensors"}, "there is no such file"),
    ],
)
def test_a_second_judge_is_a_known_network_with_its_file(settings, message):
    with pytest.raises(ValueError, match=message):
        GanSettings(**settings)
