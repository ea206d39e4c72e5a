"""Snapshots of a generator: measured, chosen by films held out, and searched for signs of collapse."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cxrlib.files import read_json
from cxrlib.generators.kernel_distance import KernelDistance, kernel_distance
from cxrlib.generators.networks import load_generator
from cxrlib.generators.quality import film_features
from cxrlib.generators.run import Run
from cxrlib.generators.snapshots import Judge, films_of_seed, nearest_pair, signs_of_collapse
from cxrlib.generators.stepping import Stepper
from cxrlib.generators.training import generator_films, train_generator
from cxrlib.study import load_study


def flat_features(films: np.ndarray) -> np.ndarray:
    """Means over 8×8 squares of 32×32 films: features cheap enough for many snapshots."""
    return films.reshape(len(films), 4, 8, 4, 8).mean((2, 4)).reshape(len(films), 16).astype(np.float32) / 255


class ScriptedJudge(Judge):
    """Gives kernel distances from a list, one per snapshot; without a seed or patient they differ by `noise`."""

    def __init__(self, films: np.ndarray, distances: list[float | None], noise: float = 0.0) -> None:
        super().__init__(films, films, flat_features)
        self.distances, self.noise, self.random = iter(distances), noise, np.random.default_rng(0)

    def measure(self, films: np.ndarray):
        measures, _ = super().measure(films)
        distance = next(self.distances)
        if distance is None:
            return measures | {"kid": None}, None
        without = (
            (distance + self.noise * self.random.normal(size=(2, 20))) if self.noise else np.full((2, 20), distance)
        )
        return measures | {"kid": distance}, KernelDistance(distance, *without)


def run_of(study, folder, judge, **options) -> Run:
    films = generator_films(study, "positive", "all").training.images
    return Run(films, study.gan, folder, total_images=40, seed=("test", "all"), fingerprint="f", judge=judge, **options)


def check_kept(run: Run, chosen: int, names: list[str]) -> None:
    """Train, and see that the networks written are those of the chosen moment and of no other."""
    states = {"generator": {}, "discriminator": {}}

    def keep(images: int, total: int, facts: dict) -> None:
        for name, network in (("generator", run.state.average), ("discriminator", run.state.discriminator)):
            states[name][images] = {key: value.clone() for key, value in network.state_dict().items()}

    run.progress = keep
    run.train()
    assert sorted(path.stem for path in run.folder.glob("*.safetensors")) == sorted(names)
    for name in names:
        written = load_file(run.folder / f"{name}.safetensors")
        assert all(torch.equal(written[key], value) for key, value in states[name][chosen].items())
        other = states[name][40 if chosen != 40 else 8]
        assert not all(torch.equal(written[key], value) for key, value in other.items())


def test_a_start_of_later_trainings_is_the_last_of_both_networks_whatever_its_distances(study, tmp_path):
    films = generator_films(study, "positive", "all").training.images
    judge = ScriptedJudge(films, [0.1, 0.2, 0.3, 0.4, 0.5])
    run = run_of(study, tmp_path / "run", judge, is_start=True)
    check_kept(run, 40, ["generator", "discriminator"])
    assert run.selected_by == "last"


@pytest.mark.parametrize(
    ("distances", "chosen"),
    [([0.5, 0.2, 0.3, 0.2, 0.4], 32), ([0.5, 0.4, 0.3, 0.2, 0.1], 40), ([None] * 5, 40), ([-0.1, 0, 0, 0, 0], 8)],
)
def test_the_generator_kept_is_the_snapshot_of_least_distance(study, tmp_path, distances, chosen):
    films = generator_films(study, "positive", "all").training.images
    run = run_of(study, tmp_path / "run", ScriptedJudge(films, distances))
    check_kept(run, chosen, ["generator"])

    table = pd.read_csv(run.folder / "snapshots.csv")
    assert list(table.columns) == ["images", "kid", "kid_low", "kid_high", "recall", "nearest_pair", "chosen"]
    assert table["images"].tolist() == [8, 16, 24, 32, 40]
    assert table.loc[table["chosen"], "images"].tolist() == [chosen]
    assert run.selected_by == ("last" if distances[0] is None else "held-out KID")
    log = pd.read_csv(run.folder / "log.csv").set_index("images")["kid"]
    assert log.dropna().to_dict() == (
        {} if distances[0] is None else dict(zip(range(8, 41, 8), distances, strict=True))
    )

    sheets = {images: np.asarray(Image.open(run.folder / f"samples-{images}.png")) for images in table["images"]}
    np.testing.assert_array_equal(np.asarray(Image.open(run.folder / "samples.png")), sheets[chosen])
    films = films_of_seed(run.state.average, run.seed)
    np.testing.assert_array_equal(sheets[chosen][:32, 32:64], films[1])
    assert any((sheets[chosen] != sheet).any() for images, sheet in sheets.items() if images != chosen)


@pytest.mark.parametrize(("noise", "chosen", "noisy"), [(0.001, 8, False), (0.5, 40, True)])
def test_of_snapshots_that_noise_can_t_tell_apart_the_last_is_kept_and_it_is_said(
    study, tmp_path, noise, chosen, noisy
):
    films = generator_films(study, "positive", "all").training.images
    run = run_of(study, tmp_path / "run", ScriptedJudge(films, [0.1, 0.3, 0.2, 0.3, 0.2], noise))
    run.train()
    assert run.state.chosen["images"] == chosen
    assert run.within_noise == noisy


def test_a_study_s_snapshots_are_measured_against_its_held_out_films(make_study):
    study = make_study(films=240)
    record = train_generator(study, "negative", "all")
    films = generator_films(study, "negative", "all")
    assert (record["films"], record["held_out_films"], record["selected_by"]) == (96, 24, "held-out KID")
    assert record["features"].startswith("efficientnet_lite0, ImageNet weights (package ")
    folder = study.results.generator("negative", "all")
    table = pd.read_csv(folder / "snapshots.csv")
    chosen = table[table["chosen"]].iloc[0]
    assert chosen["kid"] == record["snapshot_kid"]
    assert record["within_noise"] == (chosen["kid"] > table["kid"].min())
    assert chosen["images"] == record["snapshot_images"]
    start = read_json(study.results.generator_record("negative", "public"))
    assert (start["selected_by"], start["snapshot_images"]) == ("last", start["images_seen"])
    assert (table["kid_low"] <= table["kid"]).all()
    assert (table["kid"] <= table["kid_high"]).all()

    generator, _ = load_generator(folder)
    made = films_of_seed(generator, (study.seed, "gan", "negative", "all"))
    features = [film_features(study, part) for part in (made, films.held_out.images)]
    distance = kernel_distance(*features, None, films.held_out.manifest["patient_id"].to_numpy())
    assert distance.estimate == pytest.approx(chosen["kid"], rel=1e-3)


def test_nearest_pairs_of_copies_are_at_nought_and_of_films_at_their_distance():
    films = np.zeros((4, 32, 32), np.uint8)
    films[1] = 10
    films[2] = 40
    films[3] = 100
    assert nearest_pair(films) == pytest.approx(np.median([10, 10, 30, 60]))
    assert nearest_pair(np.repeat(films, 2, axis=0)) == 0


def snapshot(images: int, recall: float, pair: float) -> dict:
    return {"images": images, "recall": recall, "nearest_pair": pair}


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([snapshot(100, 0.0, 0.05)], set()),
        ([snapshot(100, 0.0, 0.05), snapshot(200, 0.1, 0.06)], set()),
        ([snapshot(100, 0.0, 0.05), snapshot(500, 0.1, 0.06)], {"identical"}),
        ([snapshot(100, 0.5, 0.6), snapshot(200, 0.4, 0.1)], {"identical"}),
        ([snapshot(100, 0.5, 0.6), snapshot(200, 0.3, 0.6)], set()),
        ([snapshot(100, 0.5, 0.6), snapshot(200, 0.2, 0.6)], {"recall"}),
        ([snapshot(100, 0.1, 0.6), snapshot(200, 0.0, 0.6)], set()),
        ([snapshot(100, 0.5, 0.6), snapshot(200, 0.5, 0.6), snapshot(900, 0.0, 0.0)], {"identical", "recall"}),
        ([snapshot(100, None, None), snapshot(900, None, None)], set()),
    ],
)
def test_signs_of_collapse_are_told_from_a_slow_beginning(rows, kinds):
    signs = signs_of_collapse(rows, total_images=1000)
    assert set(signs) == kinds
    assert all(f"at {rows[-1]['images']} images" in words for words in signs.values())


def with_eigenfilms(study):
    """A start that has the films' variety from the first image on, as in studies of minutes."""
    text = study.file.read_text(encoding="utf-8").replace(
        "  batch_size: 4\n  r1", "  eigenfilms: true\n  batch_size: 4\n  r1"
    )
    study.file.write_text(text, encoding="utf-8")
    return load_study(str(study.file))


def test_a_healthy_generator_is_not_warned_of(make_study, caplog):
    study = with_eigenfilms(make_study(films=240))
    with caplog.at_level(logging.WARNING):
        record = train_generator(study, "positive", "public")
    assert record["warnings"] == []
    assert not caplog.records


def test_a_generator_that_collapses_is_warned_of_and_the_one_before_is_kept(make_study, monkeypatch, caplog):
    study = with_eigenfilms(make_study(films=240))
    true_step = Stepper.step

    def step(self, number: int, rollbacks: int) -> None:
        true_step(self, number, rollbacks)
        if number >= 3:
            with torch.no_grad():
                for name, value in [*self.networks.average.named_parameters(), *self.networks.average.named_buffers()]:
                    if "mapping" in name or "components" in name or "noise" in name:
                        value.zero_()

    monkeypatch.setattr(Stepper, "step", step)
    with caplog.at_level(logging.WARNING):
        record = train_generator(study, "positive", "public")
    assert record["snapshot_images"] == 8
    folder = study.results.generator("positive", "public")
    assert read_json(folder / "config.json")["warnings"] == record["warnings"]
    said = " ".join(record["warnings"])
    assert "nearly identical films: at 16 images" in said
    assert all(words in caplog.text for words in record["warnings"])
    table = pd.read_csv(folder / "snapshots.csv").set_index("images")
    assert table.loc[16, "nearest_pair"] < 0.1 < table.loc[8, "nearest_pair"]
