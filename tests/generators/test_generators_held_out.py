"""Films held out of a generator's training: by patient, the same ones wherever they can be, enough or none."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.errors import InputError
from cxrlib.files import write_csv
from cxrlib.films.images import load_image_set
from cxrlib.generators.settings import FEWEST_HELD_OUT_FILMS
from cxrlib.generators.training import GeneratorFilms, generator_films
from cxrlib.study import load_study


def patients(films) -> set[str]:
    return set(films.manifest["patient_id"])


def ids(films: GeneratorFilms) -> set[str]:
    return set(films.training.manifest["image_id"]) | set(films.held_out.manifest["image_id"])


def with_percent(study, percent: int):
    text = study.file.read_text(encoding="utf-8")
    study.file.write_text(text.replace("  total_images", f"  held_out_percent: {percent}\n  total_images"))
    return load_study(str(study.file))


def test_films_are_parted_by_patient_and_none_is_lost(make_study):
    study = make_study(films=240, films_per_patient=3)
    for label in ("negative", "positive"):
        films = generator_films(study, label, "all")
        assert set(films.training.manifest["label"]) == set(films.held_out.manifest["label"]) == {label}
        assert not patients(films.training) & patients(films.held_out)
        assert (len(films.training), len(films.held_out)) == (96, 24)
        prepared = load_image_set(study, "hospital", 32)
        of_label = prepared.manifest[prepared.manifest["label"] == label]
        assert ids(films) == set(of_label["image_id"])
        row = films.held_out.manifest["image_id"].tolist().index(films.held_out.manifest["image_id"].iloc[-1])
        place = prepared.manifest["image_id"].tolist().index(films.held_out.manifest["image_id"].iloc[-1])
        np.testing.assert_array_equal(films.held_out.images[row], prepared.images[place])


def test_a_fold_s_generator_sees_no_film_of_that_fold_and_holds_the_same_patients_out(make_study):
    study = make_study(films=240)
    whole = generator_films(study, "positive", "all")
    for fold in study.fold_names:
        films = generator_films(study, "positive", fold)
        for part in (films.training, films.held_out):
            assert len(part) > 0
            assert set(part.manifest["fold"]) == set(study.fold_names) - {fold}
        assert len(ids(films)) == 60
        # Shares are of films, and a fold's own may have drawn a few more or fewer of the patients than the other.
        assert len(patients(films.held_out) & patients(whole.held_out)) >= len(films.held_out) - 4
    public = generator_films(study, "negative", "public")
    assert all(name.startswith("training") for name in ids(public))
    assert len(public.held_out) == 24


def test_too_few_films_are_not_held_out_and_no_percent_holds_none_out(make_study):
    study = make_study()
    films = generator_films(study, "positive", "all")
    assert (len(films.training), len(films.held_out)) == (24, 0)
    assert 24 * study.gan.held_out_percent / 100 < FEWEST_HELD_OUT_FILMS
    halved = generator_films(with_percent(study, 50), "positive", "all")
    assert (len(halved.training), len(halved.held_out)) == (12, 12)
    none = generator_films(with_percent(make_study(folder="none", films=240), 0), "positive", "all")
    assert (len(none.training), len(none.held_out)) == (120, 0)


def test_copies_of_one_film_under_two_patients_stay_on_one_side(make_study):
    study = make_study(films=240)
    apart = generator_films(study, "positive", "all")
    of_training, of_held_out = (part.manifest["image_id"].tolist() for part in (apart.training, apart.held_out))
    pairs = list(zip(of_training[:6], of_held_out[:6], strict=True))
    columns = {"image_id_a": [first for first, _ in pairs], "image_id_b": [second for _, second in pairs]}
    write_csv(study.results.duplicates, pd.DataFrame(columns))
    together = generator_films(study, "positive", "all")
    for pair in pairs:
        assert sum(name in set(together.held_out.manifest["image_id"]) for name in pair) in (0, 2)
    assert ids(together) == ids(apart)


def test_unknown_labels_and_folds_are_refused(study):
    with pytest.raises(InputError, match="label `covid`: expected one of negative, positive"):
        generator_films(study, "covid", "all")
    with pytest.raises(InputError, match=r"fold `fold9`: .*public, all, fold0, fold1"):
        generator_films(study, "positive", "fold9")
