"""Generators trained with one thing changed, and the table that compares them with the usual one."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.chapters.generators import comparisons as comparisons_module
from cxrlib.chapters.generators.comparisons import compare_generators
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.generators import stepping
from cxrlib.generators.training import train_generator
from cxrlib.study import load_study
from cxrlib.units import all_units, units
from cxrlib.workflow.report import save_settings

BOTH = "  comparisons: [random-start, no-augmentation]\n  comparison_label: positive\n"


def with_settings(study, added: str):
    text = study.file.read_text(encoding="utf-8")
    study.file.write_text(text.replace("  total_images", f"{added}  total_images"), encoding="utf-8")
    return load_study(str(study.file))


def test_variants_differ_in_one_thing_and_are_compared_at_equal_budgets(make_study, monkeypatch):
    study = with_settings(make_study(films=240), BOTH)
    assert study.generator_variants == (("positive", "all", "random-start"), ("positive", "all", "no-augmentation"))
    with pytest.raises(InputError, match=r"cxr train-gan \S+ --label positive --fold all` first"):
        compare_generators(study)
    augmented, true_augment = [], stepping.augment

    def augment(films, names, *options, **more):
        augmented.append(tuple(names))
        return true_augment(films, names, *options, **more)

    monkeypatch.setattr(stepping, "augment", augment)
    standard = train_generator(study, "positive", "all")
    assert set(augmented) == {study.gan.augmentations}
    with pytest.raises(InputError, match=r"--label positive --fold all --variant random-start` first"):
        compare_generators(study)
    augmented.clear()
    plain = train_generator(study, "positive", "all", variant="no-augmentation")
    assert set(augmented) == {()}
    afresh = train_generator(study, "positive", "all", variant="random-start")
    assert (study.results.root / "gan" / "positive" / "all-random-start" / "config.json").is_file()

    for record, variant in ((plain, "no-augmentation"), (afresh, "random-start")):
        assert record["images_seen"] == standard["images_seen"] == 40
        assert record["settings"]["seed"] == standard["settings"]["seed"]
        assert record["settings"]["variant"] == variant
        for name in ("held_out_sha256", "manifest_sha256", "images_sha256"):
            assert record["inputs"][name] == standard["inputs"][name]
        changed = {
            key for key, value in record["settings"]["gan"].items() if value != standard["settings"]["gan"].get(key)
        }
        assert changed == {"no-augmentation": {"augmentations"}, "random-start": {"initialise_from"}}[variant]
    assert afresh["initialised_from"] == "random weights"
    assert plain["initialised_from"] == standard["initialised_from"] == "the generator of the public positive films"
    assert "public_generator_sha256" not in afresh["inputs"]
    assert len({record["generator_sha256"] for record in (standard, plain, afresh)}) == 3

    compare_generators(study)
    table = pd.read_csv(study.results.table("comparisons"))
    assert list(table.columns) == [
        "variant", "images", "kid", "kid_low", "kid_high", "chosen", "flag_rate", "flag_low", "flag_high",
        "further", "further_low", "further_high",
    ]  # fmt: skip
    assert table["variant"].unique().tolist() == ["standard", "random-start", "no-augmentation"]
    assert (table.groupby("variant")["images"].agg(list).map(tuple) == (8, 16, 24, 32, 40)).all()
    kept = table[table["chosen"]].set_index("variant")
    for variant, record in (("standard", standard), ("random-start", afresh), ("no-augmentation", plain)):
        assert kept.loc[variant, "images"] == record["snapshot_images"]
        assert kept.loc[variant, "kid"] == record["snapshot_kid"]
    assert (kept["flag_low"] <= kept["flag_rate"]).all()
    assert (kept["flag_rate"] <= kept["flag_high"]).all()
    assert table.loc[~table["chosen"], ["flag_rate", "further"]].isna().all(axis=None)
    variants = kept.drop("standard")
    assert kept.loc["standard", ["further", "further_low", "further_high"]].isna().all()
    assert variants["further"].to_numpy() == pytest.approx(
        (variants["kid"] - kept.loc["standard", "kid"]).to_numpy(), abs=2e-6
    )
    assert (variants["further_low"] < variants["further"]).all()
    # Paired: what both owe to the held-out films cancels, so that the interval is less wide than that of either.
    assert (variants["further_high"] - variants["further_low"] < variants["kid_high"] - variants["kid_low"]).all()
    assert "hospital" not in study.results.table("comparisons").read_text(encoding="utf-8")

    before = study.results.comparisons_record.stat().st_mtime_ns
    assert compare_generators(study) == read_json(study.results.comparisons_record)
    assert study.results.comparisons_record.stat().st_mtime_ns == before


def test_flagged_films_are_those_that_were_learned_by_heart(make_study, monkeypatch):
    """A generator that gives training films back must be flagged for it, one that gives noise must not."""
    study = with_settings(make_study(films=240), BOTH)
    known = comparisons_module.generator_films(study, "positive", "all")
    search = comparisons_module.CopySearch(known.training.images, comparisons_module.film_extractor(study))
    random = np.random.default_rng(0)

    def flagged(films: np.ndarray) -> int:
        def draw(generator, seeds, truncation, drawn, progress=None):
            drawn[:] = films[: len(drawn)]

        monkeypatch.setattr(comparisons_module, "draw_films", draw)
        return comparisons_module._flagged(study, None, "", 20, known, search)

    assert flagged(known.training.images) == 20
    assert flagged(random.integers(0, 256, (20, 32, 32), dtype=np.uint8)) == 0


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("  comparisons: [random-start]\n  initialise_from: random\n", "random-start with initialise_from: random"),
        ("  comparisons: [no-augmentation]\n  augmentations: []\n", r"no-augmentation with augmentations: \[\]"),
        ("  comparisons: [no-augmentation]\n  held_out_percent: 0\n", "held_out_percent: 0"),
    ],
)
def test_comparisons_of_a_thing_with_itself_are_refused(make_study, added, message):
    study = make_study()
    text = study.file.read_text(encoding="utf-8").replace("  initialise_from: public\n  public_images: 24\n", "")
    start = "" if "initialise_from" in added else "  initialise_from: public\n  public_images: 24\n"
    study.file.write_text(text.replace("  total_images", f"{added}{start}  total_images"), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_study(str(study.file))


def test_a_variant_that_the_study_does_not_have_is_refused(make_study):
    study = make_study()
    with pytest.raises(InputError, match="variant `random-start` of positive all: study tiny compares none"):
        train_generator(study, "positive", "all", variant="random-start")
    with pytest.raises(InputError, match=r"gan\.comparisons is empty"):
        compare_generators(study)
    both = with_settings(study, BOTH)
    with pytest.raises(InputError, match=r"of positive fold0: .*positive all random-start, positive all no-aug"):
        train_generator(both, "positive", "fold0", variant="random-start")


def test_comparisons_may_be_added_to_a_study_that_is_under_way(make_study):
    study = make_study()
    save_settings(study)
    save_settings(with_settings(study, BOTH))


def test_comparisons_are_units_of_their_own(tmp_path):
    study = load_study("demo", root=tmp_path)
    found = {unit.title: unit for unit in all_units(study)}
    for variant in ("random-start", "no-augmentation"):
        unit = found.pop(f"generator · negative · all · {variant}")
        assert unit.record(study) == tmp_path / "results/demo/gan/negative" / f"all-{variant}" / "config.json"
        assert unit.effort(study) == found["generator · negative · all"].effort(study)
    del found["comparison of generators"]
    none = study.model_copy(update={"gan": study.gan.model_copy(update={"comparisons": ()})})
    assert set(found) == {unit.title for unit in all_units(none)}


def test_variants_start_from_the_public_generator_only_where_they_should(tmp_path):
    study = load_study("demo", root=tmp_path)
    generators = {unit.tail: unit for unit in units(study, "generator")}
    for variant, starts in (("random-start", False), ("no-augmentation", True)):
        before = generators[f"negative-all-{variant}"].before(study)
        assert (generators["negative-public"] in before) == starts
    (chapter,) = [unit for unit in units(study, "chapter") if unit.key == ("02_gan_training",)]
    assert set(units(study, "comparisons")) <= set(chapter.before(study))
