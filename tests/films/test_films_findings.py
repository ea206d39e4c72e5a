"""What films show beyond their label, and whether negatives mean the same in training and at the hospital."""

import pandas as pd
import pytest

from cxrlib.chapters.films.tables import demographics, negatives_named
from cxrlib.chapters.findings import negatives_sentence
from cxrlib.films.audit import prepare_study
from cxrlib.films.findings import kinds_of
from cxrlib.films.preparation import prepare_role
from cxrlib.study import load_study


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        ("No Finding", "no finding"), ("Normal", "no finding"), ("unauffällig", "no finding"), ("o. B.", "no finding"),
        ("kein pathologischer Befund", "no finding"), ("COVID-19, ARDS", "COVID-19"), ("SARS-CoV-2", "COVID-19"),
        ("SARS", "other pneumonia"), ("Pneumocystis", "other pneumonia"), ("E.Coli", "other pneumonia"),
        ("Pneumonia/Viral/COVID-19", "COVID-19"), ("Lipoid", "other pneumonia"), ("Pneumothorax", "other finding"),
        ("abnormal heart", "other finding"), ("ARDS", "other finding"), ("", ""), (" ", ""),
    ],
)  # fmt: skip
def test_findings_are_of_a_few_kinds(finding, kind):
    assert kinds_of(pd.Series([finding])).tolist() == [kind]


def table(**negatives):
    rows = [(role, "finding", kind, count) for role, kinds in negatives.items() for kind, count in kinds.items()]
    return pd.DataFrame(rows, columns=["role", "variable", "level", "films_negative"]).astype({"films_negative": str})


def test_negatives_that_training_lacks_are_told_with_their_names():
    both = table(training={"no finding": 6400}, hospital={"no finding": 13, "other pneumonia": 80, "other finding": 0})
    said = negatives_sentence(both, {"hospital": {"SARS": 16, "Pneumocystis": 13}})
    assert "means two things" in said
    assert "13 show no finding and 80 show another pneumonia (SARS in 16 and Pneumocystis in 13)" in said
    assert "in training no negative film shows another pneumonia, only no finding" in said


def test_no_word_is_stronger_than_what_is_recorded():
    unknown, known = {"not known": 50}, {"no finding": 20, "other pneumonia": "<5", "other finding": "withheld"}
    assert negatives_sentence(table(training=unknown, hospital=unknown), {}).startswith("What the hospital's negative")
    said = negatives_sentence(table(training=unknown, hospital=known), {})
    assert "fewer than five show another pneumonia and some show another finding" in said
    assert "nobody can say" in said
    assert "means two things" not in said
    same = negatives_sentence(table(training={"no finding": 8}, hospital={"no finding": 20}), {})
    assert "means the same" in same


@pytest.fixture
def study(tmp_path, write_tiny_study):
    """Training whose study file says what its negatives show; a hospital with findings film by film."""
    from film_folders import films_of, make_folder

    data = {
        "training": make_folder(tmp_path / "public", films_of("t", 8), 1)
        | {"publishable": True, "findings": {"negative": "normal", "positive": "COVID-19"}},
        "validation": make_folder(tmp_path / "val", films_of("v", 6), 2),
        "hospital": make_folder(tmp_path / "clinic", films_of("h", 24), 3) | {"publishable": True},
    }
    labels = tmp_path / "clinic" / "labels.csv"
    lines = labels.read_text().splitlines()
    findings = [
        "finding",
        *("Pneumocystis" if n % 4 else "No Finding" if n % 2 == 0 else "COVID-19" for n in range(24)),
    ]
    labels.write_text("\n".join(f"{line},{finding}" for line, finding in zip(lines, findings, strict=True)) + "\n")
    return load_study(write_tiny_study(data=data))


def test_what_the_study_file_says_counts_where_the_table_says_nothing(study, write_tiny_study):
    prepare_study(study)
    found = demographics(study).query("variable == 'finding'").set_index(["role", "level"])
    assert found.loc[("training", "no finding"), "films_negative"] == 4
    assert found.loc[("training", "COVID-19"), "films_positive"] == 4
    assert found.loc[("validation", "not known"), ["films_negative", "films_positive"]].tolist() == [3, 3]
    assert found.loc[("hospital", "other pneumonia"), "films_negative"] == 6
    named = negatives_named(study)
    assert named["hospital"] == {"Pneumocystis": 6}
    assert "validation" not in named
    said = negatives_sentence(demographics(study), named)
    assert "6 show no finding and 6 show another pneumonia (Pneumocystis in 6)" in said
    # Saying so later changes no film, so nothing is prepared or trained anew.
    data = study.data.model_dump(mode="json")
    del data["training"]["findings"]
    silent = load_study(write_tiny_study(data=data))
    stamp = silent.results.manifest("training").stat().st_mtime_ns
    prepare_role(silent, "training")
    assert silent.results.manifest("training").stat().st_mtime_ns == stamp
    assert "not recorded" in negatives_sentence(demographics(silent), {})
