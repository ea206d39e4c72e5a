import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cxrlib.checkpoints import load_state
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.generators import stepping
from cxrlib.generators.networks import load_generator
from cxrlib.generators.run import Run, check_films
from cxrlib.generators.stepping import average_decay
from cxrlib.generators.training import generator_films, train_generator
from cxrlib.study import load_study


class Interrupted(Exception):
    """Stands for the end of the process."""


def interrupt_after(images: int):
    def progress(done: int, total: int, facts: dict) -> None:
        if done >= images:
            raise Interrupted

    return progress


def log_without_seconds(study, label: str, fold: str) -> pd.DataFrame:
    return pd.read_csv(study.results.generator(label, fold) / "log.csv").drop(columns="seconds")


def test_a_generator_is_trained_from_the_public_one_and_then_only_loaded(study):
    calls = []
    record = train_generator(study, "positive", "all", progress=lambda *facts: calls.append(facts))
    folder = study.results.generator("positive", "all")
    assert record == read_json(folder / "config.json")
    assert record["images_seen"] == 40
    assert record["films"] == 24
    assert record["rollbacks"] == 0
    assert record["initialised_from"] == "the generator of the public positive films"
    public = read_json(study.results.generator_record("positive", "public"))
    assert record["inputs"]["public_generator_sha256"] == public["generator_sha256"]
    assert public["images_seen"] == 24
    assert public["initialised_from"] == "random weights"
    assert (study.results.generator("positive", "public") / "discriminator.safetensors").exists()

    sheet = np.asarray(Image.open(folder / "samples.png"))
    assert sheet.shape == (4 * 32, 8 * 32)
    assert sheet.dtype == np.uint8
    assert sheet.std() > 0
    log = pd.read_csv(folder / "log.csv")
    assert list(log.columns) == [
        "images", "seconds", "loss_generator", "loss_discriminator", "r1", "real_sign", "generated_sign", "strength",
        "kid",
    ]  # fmt: skip
    assert log["images"].iloc[-1] == 40
    assert log["images"].is_monotonic_increasing
    assert log["r1"].notna().sum() == 3
    assert log["real_sign"].between(-1, 1).all()
    assert calls[-1][:2] == (40, 40)
    assert calls[-1][2]["images"] == 40

    calls.clear()
    assert train_generator(study, "positive", "all", progress=lambda *facts: calls.append(facts)) == record
    assert not calls
    generator, config = load_generator(folder)
    assert generator.resolution == 32
    assert config == record


def test_training_after_an_interruption_gives_the_same_bits(study, make_study):
    whole = train_generator(study, "positive", "fold0")
    other = make_study(folder="elsewhere")
    for images in (12, 20, 20, 36):
        with pytest.raises(Interrupted):
            train_generator(other, "positive", "fold0", progress=interrupt_after(images))
        assert not other.results.generator_record("positive", "fold0").exists()
    resumed = train_generator(other, "positive", "fold0")
    assert resumed["generator_sha256"] == whole["generator_sha256"]
    pd.testing.assert_frame_equal(
        log_without_seconds(study, "positive", "fold0"), log_without_seconds(other, "positive", "fold0")
    )


def test_a_checkpoint_of_other_settings_is_refused_and_stays_as_it_is(study):
    with pytest.raises(Interrupted):
        train_generator(study, "positive", "public", progress=interrupt_after(12))
    path = study.results.generator("positive", "public") / "checkpoint" / "state.safetensors"
    assert load_state(path)["images"] == 8
    before, text = path.read_bytes(), study.file.read_text(encoding="utf-8")
    study.file.write_text(text.replace("public_images: 24", "public_images: 28"), encoding="utf-8")
    changed = load_study(str(study.file))
    with pytest.raises(
        InputError, match=r"checkpoint of other settings.*\n.*gan\.public_images: there 24, now 28\n.*--force"
    ):
        train_generator(changed, "positive", "public")
    assert path.read_bytes() == before
    record = train_generator(changed, "positive", "public", force=True)
    log = pd.read_csv(study.results.generator("positive", "public") / "log.csv")
    assert record["images_seen"] == 28
    assert log["images"].tolist() == list(range(4, 29, 4))


def test_other_settings_after_the_end_are_an_error_and_force_makes_it_afresh(study):
    train_generator(study, "positive", "public")
    study.file.write_text(study.file.read_text(encoding="utf-8").replace("public_images: 24", "public_images: 8"))
    changed = load_study(str(study.file))
    with pytest.raises(InputError, match=r"gan\.public_images: there 24, now 8"):
        train_generator(changed, "positive", "public")
    assert train_generator(changed, "positive", "public", force=True)["images_seen"] == 8


def test_features_are_matched_where_a_training_starts_from_public_films(study, make_study):
    text = study.file.read_text(encoding="utf-8")
    study = make_study(text.replace("gan:\n", "gan:\n  feature_matching_weight: 30\n  comparisons: [random-start]\n"))
    records = {"all": train_generator(study, "negative", "all")}
    records["public"] = read_json(study.results.generator_record("negative", "public"))
    records["random start"] = train_generator(study, "negative", "all", variant="random-start")
    matched = {name: record["settings"]["gan"].get("feature_matching_weight") for name, record in records.items()}
    # Where none are matched the record is as before there was such a setting, and older generators count as finished.
    assert matched == {"all": 30, "public": None, "random start": None}
    assert [name for name, record in records.items() if "teacher_weights" in record["inputs"]] == ["all"]


def test_a_hospital_generator_begins_with_the_public_weights(study):
    train_generator(study, "positive", "public")
    public = study.results.generator("positive", "public")
    films = generator_films(study, "positive", "all").training.images
    run = Run(films, study.gan, study.root / "run", total_images=8, seed=("test", "all"), fingerprint="f", start=public)
    stored = load_file(public / "generator.safetensors")
    for name, network in (("generator", run.state.generator), ("average", run.state.average)):
        for key, value in network.state_dict().items():
            if not key.startswith("eigenfilms"):
                assert torch.equal(value.cpu(), stored[key]), (name, key)
    for key, value in load_file(public / "discriminator.safetensors").items():
        assert torch.equal(run.state.discriminator.state_dict()[key].cpu(), value), key


def test_every_film_is_shown_once_before_any_comes_again(study):
    films = np.repeat(np.arange(10, dtype=np.uint8), 32 * 32).reshape(10, 32, 32)
    run = Run(films, study.gan, study.root / "run", total_images=40, seed=("test", "all"), fingerprint="f")
    shown = torch.cat([run.stepper.real_films(step)[:, 0, 0, 0] for step in range(10)])
    levels = ((shown + 1) * 127.5).round().int().tolist()
    for epoch in range(4):
        assert sorted(levels[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert levels[:10] != levels[10:20]


def test_losses_that_diverge_are_rolled_back_three_times_then_reported(study, monkeypatch):
    true_loss, broken = stepping.generator_logistic, {"at": {5}, "calls": 0}

    def loss(logits: torch.Tensor) -> torch.Tensor:
        broken["calls"] += 1
        return true_loss(logits) * (float("nan") if broken["calls"] in broken["at"] else 1.0)

    monkeypatch.setattr(stepping, "generator_logistic", loss)
    record = train_generator(study, "positive", "public")
    assert record["rollbacks"] == 1
    assert record["images_seen"] == 24
    generator, _ = load_generator(study.results.generator("positive", "public"))
    assert all(value.isfinite().all() for value in generator.state_dict().values())
    log = pd.read_csv(study.results.generator("positive", "public") / "log.csv")
    assert log["images"].tolist() == [4, 8, 12, 16, 20, 24]
    assert np.isfinite(log["loss_generator"]).all()

    broken["at"] = range(10**6)
    with pytest.raises(InputError, match=r"diverged \(loss_generator.*3 times.*half the learning rate"):
        train_generator(study, "negative", "public")
    checkpoint = study.results.generator("negative", "public") / "checkpoint" / "state.safetensors"
    stored = load_state(checkpoint)
    assert stored["rollbacks"] == 3
    assert stored["generator_optimiser"]["param_groups"][0]["lr"] == study.gan.learning_rate / 8


def test_average_follows_its_half_life_and_faster_at_first():
    assert average_decay(10**6, 10, 1000, 0.1) ** 100 == pytest.approx(0.5)
    assert average_decay(10, 10, 1000, 0.1) < average_decay(1000, 10, 1000, 0.1) < average_decay(10**6, 10, 1000, 0.1)
    steps = [average_decay(images, 10, 1000, 0.1) for images in range(10, 10**5, 10)]
    assert all(0 <= step < 1 for step in steps)
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("films", "message"),
    [
        (np.zeros((3, 32, 32), np.uint8), "3 films to train on.*at least 8"),
        (np.full((20, 32, 32), 7, np.uint8), "every pixel of all 20 films is 7"),
        (np.zeros((20, 64, 64), np.uint8), r"\(20, 64, 64\).*\(N, 32, 32\)"),
        (np.zeros((20, 32, 32), np.float32), "float32"),
    ],
)
def test_films_that_can_t_be_learnt_from_are_refused(study, films, message):
    with pytest.raises(InputError, match=message):
        check_films(films, study.gan, study.root)


def test_unknown_labels_and_folds_are_refused(study):
    with pytest.raises(InputError, match="label `covid`: expected one of negative, positive"):
        train_generator(study, "covid", "all")
    with pytest.raises(InputError, match=r"fold `fold9`: .*public, all, fold0, fold1"):
        train_generator(study, "positive", "fold9")
