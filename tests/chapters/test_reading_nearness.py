"""Tables of copies, leaks and lungs of a finished study, against what was planted in its films."""

import numpy as np
import pandas as pd
import pytest
from generated_films import write_generated
from scipy.stats import binomtest

from cxrlib.chapters.generators.novelty import anatomy_table, leak_table, memorisation_table
from cxrlib.chapters.reading import nearness as reading_nearness
from cxrlib.chapters.reading import nearness_figures as reading_nearness_figures
from cxrlib.chapters.reading import nearness_shown as reading_nearness_shown
from cxrlib.files import read_json
from cxrlib.films.audit import prepare_study
from cxrlib.films.images import load_image_set, load_masks, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.generators import lung_measures, lungs
from cxrlib.generators.lung_measures import load_anatomy, measure_anatomy
from cxrlib.generators.lungs import LungSegmenter
from cxrlib.study import load_study

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
    assert len(table) == len(SETS) * 5
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
        patch.setattr(lung_measures, "FEWEST_PATIENTS", 4)
        patch.setattr(lung_measures, "FEWEST_MASKS", 4)
        patch.setattr(lung_measures, "train_segmenter", lambda *_: LungSegmenter())
        patch.setattr(lung_measures, "outline_lungs", outline)
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
    monkeypatch.setattr(lung_measures, "load_masks", lambda *_: None)
    table = anatomy_table(study)
    assert table.empty
    assert {"label", "fold", "measure"} <= set(table.columns)
    assert load_anatomy(study) is None
    record = read_json(study.results.lungs_record)
    assert (record["masks"], record["measured"]) == (0, False)
    assert pd.DataFrame(table).to_csv(index=False).startswith("label,fold,measure")


def test_the_nearest_films_are_shown_with_those_they_resemble_unless_these_are_private(study, monkeypatch):
    hospital = load_image_set(study, "hospital", study.gan.resolution)
    row = int(np.flatnonzero(hospital.labels == 1)[4])
    path = study.results.synthetic("positive", "all") / "manifest.csv"
    manifest = pd.read_csv(path)
    real = hospital.manifest["image_id"][row]
    manifest = manifest.assign(nearest_image_id=real, nearest_feature_id=real)
    manifest.to_csv(path, index=False)
    monkeypatch.setattr("cxrlib.chapters.exhibits.near_copies", lambda _, films: np.zeros(len(films), bool))
    made, by_pixels, by_features = reading_nearness.nearest_rows(study, "positive", count=3)
    assert made.captions == ["flagged"] * 3
    assert (by_pixels.films == hospital.images[row]).all()
    assert (by_features.films == hospital.images[row]).all()
    assert by_pixels.captions[0] == "distance 0.05"
    monkeypatch.setattr("cxrlib.study.Study.publishable", lambda *_: False)
    made, hidden = reading_nearness.nearest_rows(study, "positive", count=3)
    assert hidden.films is None
    flagged = load_synthetic(study, "positive", "all", study.gan.resolution, flagged=True).images[:3]
    assert not any((film == made.films).all(axis=(1, 2)).any() for film in flagged)


def test_what_is_said_changes_with_the_tables():
    flags = {"label": "positive", "fold": "all", "films": 100, "flagged": 2, "flag_rate": 0.02, "flag_low": 0.0}
    flags |= {"flag_high": 0.07, "real_films": 100, "real_flagged": 4, "real_rate": 0.04, "real_high": 0.1}
    flags |= {"planted": 40, "caught": 40, "caught_least": "cropped", "caught_least_rate": 1.0}
    leak = {"label": "positive", "fold": "all", "leak": "flat border", "synthetic_rate": 0.0, "real_rate": 0.0}
    leak |= {"excess_low": -0.1}
    lung = {"measure": "lung area", "outside_rate": 0.06, "outside_low": 0.02, "outside_high": 0.15, "dice": 0.93}

    def said(flags=flags, leak=leak, lung=lung):
        lungs_table = pd.DataFrame([lung] if lung else [])
        return reading_nearness.generated_facts(pd.DataFrame([flags]), pd.DataFrame([leak]), lungs_table)

    usual = said()
    assert "6.0 % (2.0 % to 15.0 %) of the films lie outside" in usual["lungs"]
    assert "not clearly more than the 5 %" in usual["lungs"]
    strange = said(lung=lung | {"outside_rate": 0.32, "outside_low": 0.25, "outside_high": 0.4})
    assert ": more than the 5 %" in strange["lungs"]
    assert "2 of 100 synthetic films are flagged (2.0 %)" in usual["flags"]
    assert "come no nearer" in usual["flags"]
    assert "40 planted copies 40 were caught" in usual["control"]
    copied = said(flags | {"flagged": 60, "flag_rate": 0.6, "flag_low": 0.5, "flag_high": 0.7})
    assert "Films were copied." in copied["flags"]
    blind = said(flags | {"caught": 30, "caught_least_rate": 0.5})
    assert "do not rely on the search" in blind["control"]
    assert "clearly more often than the hospital's films" in usual["leaks"]
    assert "flagged (0.02 %)" in said(flags | {"flagged": 1, "films": 5000})["flags"]
    assert (
        "have a fault more often than the hospital's films: positive films of all, flat border on 30.0 %, against "
        in said(leak=leak | {"synthetic_rate": 0.3, "excess_low": 0.2})["leaks"]
    )
    assert "Dice coefficient of 0.93" in usual["lungs"]
    assert "no lung masks" in said(lung=None)["lungs"]
    assert not any("private" in text for facts in (usual, copied, blind) for text in facts.values())


def test_figures_and_reading_tables_of_the_films_are_drawn(study):
    panel = reading_nearness_figures.NearnessPanel("positive", np.linspace(0.1, 1, 50), np.linspace(0.2, 1, 30), 0.25)
    chart = reading_nearness_figures.nearness_to_training(
        [[panel, panel], [panel, panel]], ("by pixels", "by features"), "real films"
    )
    assert [ax.get_xlabel() for ax in chart.axes] == ["", "", "by pixels", "by features"]
    assert {text.get_text() for text in chart.legends[0].get_texts()} == {
        "synthetic films", "real films of other patients", "flagged below"
    }  # fmt: skip
    shares = chart.axes[0].patches[0].get_data().values
    assert shares.sum() == pytest.approx(1)
    measures = pd.DataFrame(
        {"origin": ["real", "synthetic"] * 10, "label": "positive", "area": np.linspace(0.2, 0.4, 20)}
    )
    chart = reading_nearness_figures.lungs_beside_real(measures, {"area": "lung area"}, "real films")
    assert chart.axes[0].get_xlabel() == "lung area"
    shown = reading_nearness_shown.copies_among_synthetic(memorisation_table(study))
    assert shown.loc[("positive", "all"), "planted copies caught"] == "39 of 40"
    assert len(reading_nearness_shown.leaks(leak_table(study))) == len(SETS) * 5
    assert "no lung masks" in reading_nearness_shown.lungs(pd.DataFrame(columns=["label"])).iloc[0, 0]
