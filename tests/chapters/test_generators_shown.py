"""What Chapter 2 says of generators follows from their records and tables, and what it shows is what they draw."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file

from cxrlib.chapters import words
from cxrlib.chapters.generators import exhibits as generators_exhibits
from cxrlib.chapters.generators import shown as generators_shown
from cxrlib.chapters.generators.sentences import (
    collapse,
    collapsed,
    comparison_facts,
    generator_facts,
    kept_snapshots,
    settings_facts,
)
from cxrlib.files import sha256_of, write_json
from cxrlib.films.audit import prepare_study
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.generators.networks import make_generator
from cxrlib.generators.settings import GanSettings
from cxrlib.study import load_study


def record(kept=3000, by="held-out KID", **facts):
    return {
        "seconds": 30.0, "images_seen": 3000, "films": 73, "initialised_from": "random weights",
        "snapshot_images": kept, "selected_by": by, "warnings": [],
    } | facts  # fmt: skip


def test_what_is_said_of_kept_snapshots_follows_the_records():
    last = {("positive", "all"): record(by="last"), ("positive", "public"): record(kept=1000)}
    assert kept_snapshots(last) == "no film was held out of any training, so that each generator is simply the last"
    mixed = {("positive", "all"): record(2000), ("negative", "all"): record(), ("negative", "fold0"): record(by="last")}
    said = kept_snapshots(mixed)
    assert said.startswith("of 2 generators chosen by held-out films, 1 stopped before the last snapshot")
    assert said.endswith("1 had too few films to hold any out and are simply the last")
    assert "none stopped before" in kept_snapshots({("positive", "all"): record()})


def test_signs_of_collapse_are_quoted_and_their_absence_is_said():
    healthy = {("positive", "all"): record(), ("negative", "public"): record()}
    assert collapse(healthy) == "No generator showed a sign of collapse"
    ill = healthy | {("positive", "fold1"): record(warnings=["falling recall: at 3,000 images, …", "more"])}
    assert collapse(ill) == (
        "There were signs of collapse: the positive generator of fold1 showed falling recall: at 3,000 images, …; "
        "the positive generator of fold1 showed more"
    )
    assert collapsed(ill) == "1 of 3 generators showed signs of collapse on the way."
    assert collapsed(healthy).startswith("None of 2 generators")
    assert "the positive generator of all patients" in collapse({("positive", "all"): record(warnings=["more"])})


def test_the_chapter_s_facts_name_the_settings(write_tiny_study):
    study = load_study(write_tiny_study(gan={"modulation": "adain", "augmentations": ["contrast", "cutout"]}))
    facts = settings_facts(study) | generator_facts({("positive", "all"): record(), ("negative", "all"): record()})
    assert facts["modulation"].startswith("adaptive instance normalisation")
    assert facts["augmentations"] == "contrast and cutout"
    assert (facts["minutes"], facts["generators"], facts["films"]) == ("1.0", 2, 73)


def variants(standard, other, variant="no-augmentation", rates=((0.02, 0.01, 0.04), (0.03, 0.01, 0.05)), spread=0.05):
    """The kept snapshot of each of two generators, and a worse one before it; each distance (kid, low, high). `spread`
    is half the interval of their difference."""
    rows = []
    for name, kid, rate in (("standard", standard, rates[0]), (variant, other, rates[1])):
        flags = dict(zip(("flag_rate", "flag_low", "flag_high"), rate, strict=True))
        for images, worse, chosen in ((500, 5.0, False), (1000, 0.0, True)):
            distance = {key: value + worse for key, value in zip(("kid", "kid_low", "kid_high"), kid, strict=True)}
            row = {"variant": name, "images": images, "chosen": chosen} | distance | flags
            if chosen and name == variant:
                further = other[0] - standard[0]
                row |= {"further": further, "further_low": further - spread, "further_high": further + spread}
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("standard", "other", "spread", "said", "difference"),
    [
        ((0.1, 0.05, 0.15), (0.4, 0.3, 0.5), 0.1, "Training with augmentation wins clearly: for the positive films",
         "0.300 (0.200 to 0.400)"),
        # Intervals of either may overlap where that of the difference leaves no doubt, and the other way round.
        ((0.1, 0.05, 0.35), (0.4, 0.3, 0.5), 0.1, "Training with augmentation wins clearly", "0.300 (0.200 to 0.400)"),
        ((0.1, 0.05, 0.15), (0.4, 0.3, 0.5), 0.4, "Training with augmentation is ahead, but by no more than chance",
         "0.300 (−0.100 to 0.700)"),
        ((0.4, 0.3, 0.5), (0.1, 0.05, 0.15), 0.1, "Training without it wins clearly", "0.300 (0.200 to 0.400)"),
    ],
)  # fmt: skip
def test_the_winner_is_the_one_nearer_to_held_out_films(standard, other, spread, said, difference):
    facts = comparison_facts(variants(standard, other, spread=spread), "positive")
    assert facts["augmentation"].startswith(said)
    assert f"beside the same held-out films, the difference is {difference}. " in facts["augmentation"]
    ahead, behind = sorted((standard, other))
    assert f"of {ahead[0]:.3f} ({ahead[1]:.3f} to {ahead[2]:.3f}) against {behind[0]:.3f} (" in facts["augmentation"]
    assert facts["start"] == "This study has nothing to compare with the random start"


def test_what_a_comparison_says_of_copies_follows_their_intervals():
    distances = (0.1, 0.05, 0.15), (0.4, 0.3, 0.5)
    alike = comparison_facts(variants(*distances, "random-start"), "negative")["start"]
    assert "do not clearly differ: 2.0 % (1.0 % to 4.0 %) of the films for the start from the public films" in alike
    rates = (0.2, 0.1, 0.3), (0.01, 0.0, 0.02)
    apart = comparison_facts(variants(*distances, "random-start", rates), "negative")["start"]
    assert "differ: 20.0 % (10.0 % to 30.0 %)" in apart
    unknown = comparison_facts(variants(*distances, "random-start", ((np.nan,) * 3,) * 2), "negative")["start"]
    assert "was not measured" in unknown
    nothing = (np.nan,) * 3
    assert "nothing to compare" in comparison_facts(variants(nothing, nothing, "random-start"), "negative")["start"]


def test_loss_terms_say_what_is_off():
    shown = generators_shown.loss_terms(GanSettings(style_mixing_probability=0, r1_weight=0.5))["here"]
    assert shown["generator", "path length"] == "weight 2, every 4 steps"
    assert shown["generator", "style mixing"] == "off"
    assert shown["discriminator", "gradient penalty"] == "weight 0.5, every 16 steps"
    assert (generators_shown.loss_terms(GanSettings(preset="64px-hundreds"))["here"] == "off").sum() == 3


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """Prepared films, and generators with random weights."""
    made = load_study(write_study_in(tmp_path_factory.mktemp("generators")))
    prepare_study(made)
    for number, label in enumerate(LABELS):
        torch.manual_seed(number)
        folder = made.results.generator(label, "all")
        folder.mkdir(parents=True)
        save_file(make_generator(made.gan).state_dict(), folder / "generator.safetensors")
        facts = {"generator_sha256": sha256_of(folder / "generator.safetensors")}
        write_json(folder / "config.json", {"settings": {"gan": made.gan.model_dump(mode="json")}} | facts)
    return made


def private(study):
    source = study.data.hospital.model_copy(update={"publishable": False})
    changed = study.model_copy(update={"data": study.data.model_copy(update={"hospital": source})})
    changed._root, changed._file = study.root, study.file
    return changed


def test_augmentations_are_shown_on_one_film_of_the_hospital(study):
    rows = generators_exhibits.augmented_film_rows(study)
    assert [row.title for row in rows[:2]] == ["brightness", "contrast"]
    assert rows[-1].title == "all that this study uses, together"
    films = load_image_set(study, "hospital", 32)
    known = {film.tobytes() for film in films.select((films.manifest["label"] == "negative").to_numpy()).images}
    first = {row.films[0].tobytes() for row in rows}
    assert len(first) == 1
    assert first <= known
    for row in rows:
        assert row.films.shape == (8, 32, 32)
        assert row.origin == "simulated films"
        assert len({film.tobytes() for film in row.films}) > 5
    brightness = rows[0].films.astype(float).mean((1, 2))
    assert np.ptp(brightness) > 30


def test_an_augmentation_that_is_not_used_says_so(write_tiny_study, study):
    changed = study.model_copy(update={"gan": study.gan.model_copy(update={"augmentations": ("contrast",)})})
    changed._root, changed._file = study.root, study.file
    titles = [row.title for row in generators_exhibits.augmented_film_rows(changed)]
    assert titles[0] == "brightness (not used in this study)"
    assert titles[1] == "contrast"
    none = study.model_copy(update={"gan": study.gan.model_copy(update={"augmentations": ()})})
    none._root, none._file = study.root, study.file
    assert len(generators_exhibits.augmented_film_rows(none)) == 4


def test_no_film_of_a_private_hospital_is_augmented(study):
    films = {film.tobytes() for film in load_image_set(study, "hospital", 32).images}
    for row in generators_exhibits.augmented_film_rows(private(study)):
        assert row.films[0].tobytes() not in films
        assert "stand-ins" in row.origin


def test_truncation_rows_and_interpolation_are_the_generator_s(study):
    rows = generators_exhibits.truncation_rows(study, "positive")
    assert [row.title.split("truncation ")[1] for row in rows] == ["0.25", "0.5", "0.75", "1 (none)"]
    spreads = [row.films.astype(float).std(0).mean() for row in rows]
    assert spreads == sorted(spreads)
    assert {row.origin for row in rows} == {"synthetic, after simulated films"}
    row = generators_exhibits.interpolation_row(study, "positive")
    assert row.films.shape == (8, 32, 32)
    assert np.abs(row.films[0].astype(int) - rows[-1].films[0]).max() <= 1
    assert np.abs(row.films[-1].astype(int) - row.films[0]).mean() > 1


def test_a_walk_that_comes_too_near_to_private_films_is_not_shown(study, monkeypatch):
    shown = generators_exhibits.walk(study)
    assert shown.startswith(b"\x89PNG")
    monkeypatch.setattr(
        "cxrlib.chapters.generators.exhibits.near_copies", lambda study, films: np.ones(len(films), bool)
    )
    assert isinstance(generators_exhibits.walk(study), Figure)


def test_a_picture_is_kept_as_it_is(study):
    picture = words.show(study, "walk", b"\x89PNG, a picture")
    assert picture.data == study.results.figure("walk").read_bytes() == b"\x89PNG, a picture"


def test_a_study_without_comparisons_has_an_empty_table(study):
    assert study.gan.comparisons == ()
    table = generators_exhibits.comparisons(study)
    assert len(table) == 0
    assert "nothing to compare with" in comparison_facts(table, "negative")["augmentation"]
