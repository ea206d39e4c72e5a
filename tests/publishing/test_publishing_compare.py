"""Studies side by side: what differs, nothing of a private role, and no page without results."""

import pandas as pd
import pytest

from cxrlib.errors import InputError
from cxrlib.files import write_json
from cxrlib.films.manifest import MANIFEST_COLUMNS
from cxrlib.publishing.compare import compare, write_comparison
from cxrlib.study import load_study

HEADER = "role,arm,operating_point," + ",".join(
    f"{measure}{end}"
    for measure in ("roc_auc", "balanced_accuracy", "recall_positive", "recall_negative")
    for end in ("", "_low", "_high")
)


def with_results(file, area, patients):
    study = load_study(file)
    table = study.results.table("table2")
    table.parent.mkdir(parents=True)
    numbers = ",".join(["0.5", "0.4", "0.6"] * 3)
    table.write_text(
        f"{HEADER}\nhospital,baseline,fixed,{area},0.6,0.9,{numbers}\nhospital,baseline,validation,1,1,1,{numbers}\n"
    )
    used = {"images_used": 2 * patients, "patients": patients, "by_label": {"positive": 7, "negative": 3}}
    write_json(study.results.audit_record, {"used": {"hospital": used}})
    return study


def test_what_differs_stands_side_by_side(write_tiny_study, tmp_path):
    one = with_results(write_tiny_study(), 0.7, 1500)
    other = with_results(write_tiny_study(name="other", title="Another <b>one</b>", classifier={"epochs": 3}), 0.8, 20)
    found = compare([one, other])
    assert found["settings"] == {"classifier.epochs": ["1", "3"]}
    assert found["films"] == {"hospital": [
        "3,000 films of 1,500 patients, 7 films positive", "40 films of 20 patients, 7 films positive",
    ]}  # fmt: skip
    assert found["results"]["hospital"]["roc_auc"] == {"baseline": ["0.700 (0.600 to 0.900)", "0.800 (0.600 to 0.900)"]}
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>0.800 (0.600 to 0.900)</td>" in page
    assert "<b>one" not in page
    assert "http" not in page


def test_settings_of_a_private_role_are_not_named(write_tiny_study, tmp_path):
    one = with_results(write_tiny_study(), 0.7, 10)
    private = {"hospital": {"reader": "folder", "folder": "/wards/secret", "publishable": False}}
    other = with_results(write_tiny_study(name="other", data=private), 0.8, 20)
    page = write_comparison(compare([one, other]), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "secret" not in page
    assert "(private)" in page
    assert "<code>data.hospital.reader</code>" in page


def test_results_about_a_few_private_patients_are_refused(write_tiny_study):
    one = with_results(write_tiny_study(), 0.7, 10)
    private = {"hospital": {"reader": "folder", "folder": "/wards/secret", "publishable": False}}
    other = with_results(write_tiny_study(name="other", data=private), 0.8, 20)
    rows = [(f"i{n}", f"p{n}", "positive" if n < 3 else "negative") for n in range(20)]
    manifest = pd.DataFrame(rows, columns=["image_id", "patient_id", "label"])
    other.results.data("hospital").mkdir(parents=True)
    manifest.reindex(columns=list(MANIFEST_COLUMNS), fill_value="").to_csv(
        other.results.manifest("hospital"), index=False
    )
    with pytest.raises(InputError, match="those of `positive` are of fewer than 5 patients"):
        compare([one, other])


def test_folders_are_named_without_the_way_to_them(write_tiny_study):
    one = with_results(write_tiny_study(), 0.7, 10)
    shown = {"hospital": {"reader": "folder", "folder": "/machine/of/anna/films", "publishable": True}}
    settings = compare([one, with_results(write_tiny_study(name="other", data=shown), 0.8, 20)])["settings"]
    assert settings["data.hospital.folder"] == ["–", "films"]
    assert not any(".columns." in key for key in settings)


def test_two_studies_with_results_are_needed(write_tiny_study):
    one, other = (load_study(write_tiny_study(name=name)) for name in ("one", "other"))
    with pytest.raises(InputError, match="found one, one; expected two different studies"):
        compare([one, one])
    with pytest.raises(InputError, match="found one; expected"):
        compare([one])
    with pytest.raises(InputError, match="none of one, other has results; run `cxr report one` first"):
        compare([one, other])
