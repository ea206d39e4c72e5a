"""Tables of copies, leaks and lungs of a finished study, against what was planted in its films."""

import numpy as np
import pandas as pd
import pytest
from generated_films import write_generated
from scipy.stats import binomtest

from cxrlib.artifacts import read_json
from cxrlib.data.audit import prepare_study
from cxrlib.data.images import load_image_set, load_masks
from cxrlib.data.settings import LABELS
from cxrlib.gan import anatomy, lungs
from cxrlib.gan.anatomy import load_anatomy, measure_anatomy
from cxrlib.gan.lungs import LungSegmenter
from cxrlib.study import load_study
from cxrlib.tables.generated import anatomy_table, leak_table, memorisation_table

SETS = [(label, fold) for label in LABELS for fold in ("all", "fold0", "fold1")]


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """Synthetic films that are the hospital's own: those of `fold1` squeezed to half their width, and half of those of
    `fold0` with a grey rectangle; three of `all` are flagged."""
    classifier = {"arms": ["baseline", "synthetic-crossfit"], "network": "shufflenet_v2_x0_5"}
    study = load_study(write_study_in(tmp_path_factory.mktemp("generated"), classifier=classifier))
    prepare_study(study)
    hospital = load_image_set(study, "hospital", study.gan.resolution)
    for label, fold in SETS:
        films = np.array(hospital.images[hospital.labels == LABELS.index(label)])
        flagged = np.zeros(len(films), bool)
        if fold == "all":
            flagged[:3] = True
        if fold == "fold0":
            films[::2, 4:16, 4:16] = np.where(films[::2, 17, 17] > 127, 60, 190)[:, None, None]
        if fold == "fold1":
            narrow = films.reshape(*films.shape[:2], -1, 2).mean(3).astype(np.uint8)
            films = np.full_like(films, 20)
            films[:, :, 8:24] = narrow
        write_generated(study, label, fold, films, flagged)
    return study


def test_flags_are_counted_with_intervals_beside_those_of_real_films(study):
    table = memorisation_table(study).set_index(["label", "fold"])
    assert table.index.tolist() == SETS
    flagged = table.loc[("positive", "all")]
    assert flagged["flagged"] == 3
    expected = binomtest(3, int(flagged["films"])).proportion_ci(method="wilson")
    assert (flagged["flag_low"], flagged["flag_high"]) == pytest.approx((expected.low, expected.high))
    assert flagged["flag_rate"] == pytest.approx(3 / flagged["films"])
    assert flagged["real_rate"] == pytest.approx(0.05)
    assert (flagged["planted"], flagged["caught"], flagged["caught_least"]) == (40, 39, "cropped")
    assert flagged["caught_least_rate"] == pytest.approx(0.95)
    assert table.loc[("positive", "fold0"), "flagged"] == 0
    assert table.loc[("positive", "fold0"), "flag_high"] > 0.05, "few films leave much open"


def test_rectangles_are_found_where_they_were_planted_and_nowhere_else(study):
    table = leak_table(study).set_index(["fold", "leak", "label"])
    assert len(table) == len(SETS) * 2
    for label in LABELS:
        planted = table.loc[("fold0", "flat rectangle", label)]
        assert planted["synthetic_rate"] > 0.4
        assert planted["excess_low"] > 0
        assert planted["excess"] == pytest.approx(planted["synthetic_rate"] - planted["real_rate"])
        clean = table.loc[("all", "flat rectangle", label)]
        assert clean["excess_low"] <= 0 <= clean["excess_high"]
        assert clean["synthetic_films"] == clean["real_films"] - 3, "flagged films are left out"


@pytest.fixture(scope="module")
def known_lungs(study):
    """Networks that know the hospital's masks by heart, so that what the table says of them can be foreseen."""
    size = study.gan.resolution
    films, masks = (
        load_image_set(study, "hospital", size).images,
        np.asarray(load_masks(study, "hospital", size, "lungs")),
    )
    of_film = {film.tobytes(): lungs.at_side(mask[None])[0] for film, mask in zip(films, masks, strict=True)}

    def outline(_, films):
        nothing = np.zeros((lungs.SIDE, lungs.SIDE), bool)
        nothing[20:40, 20:24] = nothing[20:40, 40:44] = True
        return np.array([of_film.get(film.tobytes(), nothing) for film in films]).reshape(-1, lungs.SIDE, lungs.SIDE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anatomy, "FEWEST_PATIENTS", 4)
        patch.setattr(anatomy, "FEWEST_MASKS", 4)
        patch.setattr(anatomy, "train_segmenter", lambda *_: LungSegmenter())
        patch.setattr(anatomy, "outline_lungs", outline)
        yield anatomy_table(study)


def test_lungs_of_copies_are_those_of_real_films_and_squeezed_ones_are_outside(study, known_lungs):
    table = known_lungs.set_index(["fold", "label", "measure"])
    assert len(table) == len(SETS) * 2
    area, ratio = "lung area, share of the film", "left lung area over right"
    for label in LABELS:
        same, squeezed = table.loc[("all", label, area)], table.loc[("fold1", label, area)]
        assert same["synthetic_mean"] == pytest.approx(same["real_mean"], rel=0.1)
        assert same["real_low"] < same["real_mean"] < same["real_high"]
        assert squeezed["synthetic_mean"] < 0.5 * squeezed["real_mean"]
        assert squeezed["outside_rate"] == 1.0
        assert table.loc[("all", label, ratio), "synthetic_mean"] == pytest.approx(
            table.loc[("all", label, ratio), "real_mean"], rel=0.2
        )
    assert (table["dice"] == 1).all()
    ids = set(load_image_set(study, "hospital", study.gan.resolution).manifest["patient_id"])
    assert not ids & set(table.reset_index().astype(str).stack())


def test_real_films_are_measured_once_and_anew_when_synthetic_films_change(study, known_lungs):
    record = study.results.lungs_record
    before, stamp = read_json(record), record.stat().st_mtime_ns
    assert measure_anatomy(study) == before
    assert record.stat().st_mtime_ns == stamp
    measures = load_anatomy(study)
    real = measures[measures["origin"] == "real"]
    assert len(real) == len(load_image_set(study, "hospital", study.gan.resolution))
    films = np.zeros((3, 32, 32), np.uint8)
    write_generated(study, "negative", "fold1", films)
    assert measure_anatomy(study)["decided_by"] != before["decided_by"]
    measures = load_anatomy(study)
    assert len(measures.query("label == 'negative' and fold == 'fold1'")) == 3
    assert set(measures["origin"]) == {"real", "synthetic"}


def test_without_masks_there_is_no_table_of_lungs_and_no_failure(study, known_lungs, monkeypatch):
    monkeypatch.setattr(anatomy, "load_masks", lambda *_: None)
    table = anatomy_table(study)
    assert table.empty
    assert {"label", "fold", "measure"} <= set(table.columns)
    assert load_anatomy(study) is None
    record = read_json(study.results.lungs_record)
    assert (record["masks"], record["measured"]) == (0, False)
    assert pd.DataFrame(table).to_csv(index=False).startswith("label,fold,measure")
