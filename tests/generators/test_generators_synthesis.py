import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.errors import InputError
from cxrlib.files import sha256_of
from cxrlib.films.images import load_synthetic
from cxrlib.generators import synthesis
from cxrlib.generators.drawing import LARGEST_BATCH, make_films
from cxrlib.generators.memorisation import PLANTED, find_copies
from cxrlib.generators.quality import film_features
from cxrlib.generators.synthesis import MANIFEST_COLUMNS, remake, synthesise
from cxrlib.generators.training import generator_films, train_generator
from cxrlib.reproducibility import pick_device
from cxrlib.study import load_study


@pytest.fixture
def synthetic(study, monkeypatch):
    monkeypatch.setitem(LARGEST_BATCH, pick_device().type, 4)
    train_generator(study, "positive", "fold1")
    record = synthesise(study, "positive", "fold1")
    folder = study.results.synthetic("positive", "fold1")
    return study, record, pd.read_csv(folder / "manifest.csv"), np.load(folder / "images.npy")


def test_films_and_manifest_belong_together(synthetic):
    study, record, manifest, images = synthetic
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert images.shape == (11, 32, 32)
    assert images.dtype == np.uint8
    assert len(manifest) == record["images"] == 11
    assert manifest["image_id"].is_unique
    assert manifest["seed"].is_unique
    assert set(manifest["label"]) == {"positive"}
    assert set(manifest["truncation"]) == {0.8}
    generator = study.results.generator("positive", "fold1") / "generator.safetensors"
    assert set(manifest["generator_sha256"]) == {sha256_of(generator)} == {record["generator_sha256"]}
    folder = study.results.synthetic("positive", "fold1")
    assert record["images_sha256"] == sha256_of(folder / "images.npy")
    assert record["manifest_sha256"] == sha256_of(folder / "manifest.csv")
    assert len({film.tobytes() for film in images}) == 11


def test_nearest_films_are_ones_that_the_generator_saw(synthetic):
    study, record, manifest, images = synthetic
    known = generator_films(study, "positive", "fold1")
    expected = find_copies(
        images, known.training.images, training_patients=known.training.manifest["patient_id"],
        held_out_films=known.held_out.images, held_out_patients=known.held_out.manifest["patient_id"],
        features=partial(film_features, study),
    )  # fmt: skip
    names = known.training.manifest["image_id"]
    assert manifest["nearest_image_id"].tolist() == names.iloc[expected.nearest_pixel_index].tolist()
    assert manifest["nearest_feature_id"].tolist() == names.iloc[expected.nearest_feature_index].tolist()
    np.testing.assert_allclose(manifest["nearest_distance"], expected.pixel_distance, atol=1e-4)
    np.testing.assert_allclose(manifest["feature_distance"], expected.feature_distance, rtol=1e-3)
    assert manifest["flagged"].tolist() == expected.flagged.tolist()
    assert record["flagged"] == expected.flagged.sum()
    assert record["reference"] == {"flagged": expected.expected_flags[0], "films": expected.expected_flags[1]}
    assert set(record["planted"]) == set(PLANTED)
    assert all(0 <= counts["caught"] <= counts["planted"] for counts in record["planted"].values())
    real = pd.read_csv(study.results.real_distances("positive", "fold1"))
    assert len(real) == record["reference"]["films"]
    assert not set(real.columns) & {"image_id", "patient_id"}


def test_films_of_a_generator_that_learned_by_heart_are_flagged_and_left_out(synthetic, monkeypatch):
    study, _, _, _ = synthetic
    known = generator_films(study, "positive", "fold1").training.images

    def by_heart(generator, seeds, truncation, films, progress):
        films[:] = np.random.default_rng(0).integers(0, 256, (len(seeds), 32, 32)).astype(np.uint8)
        films[[2, 5]] = known[[4, 1]][:, :, ::-1]
        return 4

    monkeypatch.setattr(synthesis, "draw_films", by_heart)
    record = synthesise(study, "positive", "fold1", force=True)
    everything = load_synthetic(study, "positive", "fold1", 32, flagged=True)
    assert everything.manifest["flagged"][[2, 5]].all()
    kept = load_synthetic(study, "positive", "fold1", 32)
    assert len(everything) == 11
    assert len(kept) == 11 - record["flagged"] <= 9
    assert not {f"positive-fold1-{row:06d}" for row in (2, 5)} & set(kept.manifest["image_id"])


def test_any_film_can_be_made_again_from_its_row(synthetic):
    study, _, manifest, images = synthetic
    for place, row in manifest.iterrows():
        assert np.array_equal(remake(study, "positive", "fold1", row), images[place]), place
    row = json.loads(manifest.iloc[9].to_json())
    assert np.array_equal(remake(study, "positive", "fold1", row), images[9])


def test_a_film_of_another_generator_is_not_made_again(synthetic):
    study, _, manifest, _ = synthetic
    with pytest.raises(InputError, match="made by generator 000"):
        remake(study, "positive", "fold1", manifest.iloc[0].to_dict() | {"generator_sha256": "0" * 64})


def test_a_second_call_loads_and_other_settings_are_an_error(synthetic):
    study, record, _, _ = synthetic
    assert synthesise(study, "positive", "fold1") == record
    text = study.file.read_text(encoding="utf-8")
    study.file.write_text(text.replace("truncation: 0.8", "truncation: 0.8, exclude_rejected: true"), encoding="utf-8")
    assert synthesise(load_study(str(study.file)), "positive", "fold1") == record, "readers decide later"
    study.file.write_text(text.replace("images_per_label: 11", "images_per_label: 5"), encoding="utf-8")
    fewer = load_study(str(study.file))
    with pytest.raises(InputError, match="images_per_label: there 11, now 5"):
        synthesise(fewer, "positive", "fold1")
    assert synthesise(fewer, "positive", "fold1", force=True)["images"] == 5


def test_a_film_is_made_again_in_a_batch_of_the_size_that_made_it(synthetic, monkeypatch):
    study, record, manifest, images = synthetic
    assert record["batch_size"] == 4
    monkeypatch.setitem(LARGEST_BATCH, pick_device().type, 16)
    asked = []

    def films(generator, seeds, truncation, batch_size, dtype):
        asked.append((len(seeds), batch_size))
        return make_films(generator, seeds, truncation, batch_size, dtype)

    monkeypatch.setattr("cxrlib.generators.synthesis.make_films", films)
    assert np.array_equal(remake(study, "positive", "fold1", manifest.iloc[6]), images[6])
    assert asked == [(4, 4)]


def test_a_film_that_memory_is_too_small_for_is_not_made_another_way(synthetic, monkeypatch):
    study, _, manifest, _ = synthetic

    def films(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("cxrlib.generators.synthesis.make_films", films)
    with pytest.raises(InputError, match="no memory for so many"):
        remake(study, "positive", "fold1", manifest.iloc[6])


@pytest.mark.parametrize(("levels", "refused"), [(0, False), (2, False), (3, True), (60, True)])
def test_a_film_that_comes_out_otherwise_on_this_machine_is_refused(synthetic, levels, refused):
    """Other hardware may round otherwise; another chest is never passed off as the film that is there."""
    study, _, manifest, images = synthetic
    file = study.results.synthetic("positive", "fold1") / "images.npy"
    changed = images.copy()
    changed[6, 10, 10] = changed[6, 10, 10] - levels if changed[6, 10, 10] > 127 else changed[6, 10, 10] + levels
    np.save(file, changed)
    if refused:
        with pytest.raises(InputError, match=rf"differs by up to {levels} grey levels .* drawn on \w+ in float32"):
            remake(study, "positive", "fold1", manifest.iloc[6])
    else:
        assert np.array_equal(remake(study, "positive", "fold1", manifest.iloc[6]), images[6])


def test_a_film_drawn_in_bfloat16_is_made_again_in_bfloat16(synthetic, monkeypatch):
    study, _, manifest, images = synthetic
    path = study.results.synthetic_record("positive", "fold1")
    path.write_text(path.read_text(encoding="utf-8").replace('"float32"', '"bfloat16"'), encoding="utf-8")
    asked = []

    def films(*arguments):
        asked.append(arguments[-1])
        return iter([images[4:8]])

    monkeypatch.setattr("cxrlib.generators.synthesis.make_films", films)
    assert np.array_equal(remake(study, "positive", "fold1", manifest.iloc[6]), images[6])
    assert asked == [torch.bfloat16]


def test_synthesis_needs_a_finished_generator_and_has_no_public_fold(study):
    with pytest.raises(InputError, match="no finished generator"):
        synthesise(study, "negative", "all")
    with pytest.raises(InputError, match="fold `public`"):
        synthesise(study, "negative", "public")
    assert not study.results.synthetic("negative", "all").exists()
