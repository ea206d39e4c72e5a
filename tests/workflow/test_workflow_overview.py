"""What is missing or damaged is found, named, and made again by the command that is named."""

import json
import os
import shlex
import shutil

import numpy as np
import pytest
from damages import DAMAGES
from PIL import Image

from cxrlib import cli
from cxrlib.chapters.films.tables import make_film_tables
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.audit import prepare_study
from cxrlib.films.images import load_image_set
from cxrlib.films.preparation import prepare_role
from cxrlib.finished import made_with, only_maker, standing
from cxrlib.records import amend_record, content_of, write_record
from cxrlib.study import load_study
from cxrlib.units import unit_of, units
from cxrlib.workflow import overview
from cxrlib.workflow.report import _time_left, check_settings, plan, save_settings, stored_settings


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, write_study_in):
    """Films, audited and tabulated, in the folder that commands are typed in."""
    study = load_study(write_study_in(tmp_path_factory.mktemp("prepared")))
    save_settings(study)
    prepare_study(study)
    make_film_tables(study)
    return study


def run(study, command, monkeypatch):
    monkeypatch.chdir(study.root)
    program, *words = shlex.split(command)
    assert program == "cxr"
    cli.app(words, standalone_mode=False)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    [
        "data/validation/images-32.npy", "data/validation/manifest.csv", "data/validation/audit.json",
        "data/audit.json", "data/duplicates.csv",
    ],
)  # fmt: skip
def test_every_damage_is_found_named_and_repaired_by_the_command(prepared, name, damage, monkeypatch):
    path = prepared.results.root / name
    before, whole = path.stat(), path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    # Damage that keeps the time is found all the same.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (found,) = overview.verify(prepared)
    assert str(path) in found["problem"]
    assert overview.to_do(prepared, [found["unit"].split("/")[0]])[0]["standing"] == "damaged"
    run(prepared, found["command"], monkeypatch)
    assert overview.verify(prepared) == []
    if not name.endswith(".json"):
        assert path.read_bytes() == whole
    assert overview.to_do(prepared, ["film_tables"]) == []


def test_what_is_missing_is_to_be_made_again(prepared, monkeypatch):
    shutil.rmtree(prepared.results.data("validation"))
    _, waiting = plan(prepared, ["film_tables"])
    assert [unit.id for unit in waiting] == ["data/validation", "audit", "film_tables"]
    run(prepared, "cxr prepare tiny --role validation", monkeypatch)
    assert overview.to_do(prepared, ["film_tables"]) == []


def test_equal_content_made_again_means_nothing_to_do(prepared):
    before = prepared.results.audit_record.stat()
    prepare_study(prepared, force=True)
    assert prepared.results.audit_record.stat().st_mtime_ns != before.st_mtime_ns
    assert overview.to_do(prepared, ["film_tables"]) == []


def test_nothing_is_made_from_damaged_films(prepared, monkeypatch):
    path = prepared.results.images("training", 32)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES["one byte"](whole))
    try:
        with pytest.raises(InputError, match=r"images-32\.npy: damaged[^`]*`cxr prepare .* --role training`"):
            run(prepared, "cxr audit tiny", monkeypatch)
    finally:
        path.write_bytes(whole)


def test_a_damaged_settings_file_is_written_again_and_other_settings_are_refused(prepared, write_study_in):
    file = prepared.results.study_file
    whole = file.read_text()
    for damaged in (whole[: len(whole) // 2], "", whole.replace("seed: 7", "seed: 3"), "[" + whole):
        file.write_text(damaged)
        assert stored_settings(file) is None
        assert [found["unit"] for found in overview.verify(prepared)] == ["study.yaml"]
        save_settings(prepared)
        assert file.read_text() == whole
    other = load_study(write_study_in(prepared.root, seed=8))
    with pytest.raises(InputError, match="seed: there 7, now 8"):
        check_settings(other)
    write_study_in(prepared.root)


def test_a_setting_that_an_older_version_did_not_know_is_no_difference_while_it_is_off(prepared):
    file = prepared.results.study_file
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)[:-1]
    file.write_text("".join(line for line in lines if "feature_matching_weight" not in line))
    assert stored_settings(file)["gan"].get("feature_matching_weight") is None
    check_settings(prepared)
    on = prepared.model_copy(update={"gan": prepared.gan.model_copy(update={"feature_matching_weight": 30.0})})
    with pytest.raises(InputError, match="feature_matching_weight: there None, now 30"):
        check_settings(on)
    file.write_text(whole)


def test_status_says_what_is_done_running_and_missing(prepared, monkeypatch, capsys):
    with only_maker(prepared, unit_of(prepared, "data", ("hospital",))):
        found = {unit["unit"]: unit for unit in overview.status(prepared)["units"]}
    assert found["data/training"]["standing"] == "finished"
    assert found["data/hospital"]["standing"] == "running"
    assert found["book"]["standing"] == "missing"
    assert found["generator/positive-all"]["asks_for"]["gpu"] == 1
    for command in ("status", "verify", "clean", "report -n"):
        run(prepared, f"cxr {command} tiny --json", monkeypatch)
        json.loads(capsys.readouterr().out)


def test_a_record_without_counts_that_a_check_shows_is_made_again(prepared, monkeypatch, capsys):
    record = prepared.results.data_record("validation")
    left_out = ("unexpected", "outputs", "made_with", "sha256")
    stored = {key: value for key, value in read_json(record).items() if key not in left_out}
    record.write_text(json.dumps(stored))
    run(prepared, "cxr check tiny", monkeypatch)
    assert "tiny may run." in capsys.readouterr().out
    assert read_json(record)["unexpected"] == 0


def test_a_queue_that_stands_still_promises_no_minutes():
    assert _time_left(seconds=120, done=60, left=600, since_move=5) == " · about 20 min left"
    assert _time_left(seconds=120, done=10, left=600, since_move=5) == "", "small first jobs say little"
    told = [_time_left(seconds, done=60, left=600, since_move=seconds - 120) for seconds in (900, 9000)]
    assert all("nothing has moved for" in text and "left" not in text for text in told)


def test_a_dry_run_does_nothing_and_promises_no_book(prepared, monkeypatch, capsys):
    before = sorted(prepared.root.rglob("*"))
    run(prepared, "cxr report tiny --dry-run", monkeypatch)
    said = capsys.readouterr().out
    assert "jobs would run" in said
    assert "The book:" not in said
    assert sorted(prepared.root.rglob("*")) == before


def test_clean_removes_what_finished_units_do_not_need(prepared, monkeypatch, capsys):
    unit = units(prepared, "classifier")[0]
    spare = unit.record(prepared).parent / "checkpoint" / "state.safetensors"
    spare.parent.mkdir(parents=True)
    spare.write_bytes(b"x" * 1000)
    assert overview.spare(prepared) == ([], 0), "an unfinished unit goes on from its checkpoint"
    write_record(unit.record(prepared), {}, {}, 0.0, made_with=made_with(prepared, unit))
    run(prepared, "cxr clean tiny --yes", monkeypatch)
    assert "1 checkpoints and snapshots" in capsys.readouterr().out
    assert not spare.exists()
    unit.record(prepared).unlink()


def test_films_that_changed_are_noticed_by_size_and_time_and_read_again(tmp_path, write_study_in):
    folder = tmp_path / "films"
    folder.mkdir()
    names = [f"{number}.bmp" for number in range(4)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((40, 40), 50 + number, np.uint8)).save(folder / name)
    rows = [f"{name},p{name},{('negative', 'positive')[number % 2]}" for number, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["file,patient_id,label", *rows]))
    source = {"reader": "folder", "folder": str(folder)}
    study = load_study(write_study_in(tmp_path, data={"validation": source}))
    unit = unit_of(study, "data", ("validation",))
    prepare_role(study, "validation")
    before = content_of(unit.record(study))
    os.utime(folder / names[0], (1, 1))
    assert standing(study, unit).why == ("sources changed",)
    prepare_role(study, "validation")
    assert standing(study, unit).finished
    assert content_of(unit.record(study)) == before, "the same films mean the same content, whenever they were copied"
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(folder / names[0])
    assert plan(study, ["data"])[1][unit].why == ("sources changed",)
    prepare_role(study, "validation")
    assert np.load(study.results.images("validation", 32))[0].max() == 90
    assert content_of(unit.record(study)) != before
    (folder / names[0]).unlink()
    assert not standing(study, unit).finished


def test_records_of_an_older_version_are_taken_over(prepared):
    record = prepared.results.data_record("training")
    stored = {key: value for key, value in read_json(record).items() if key not in ("outputs", "made_with", "sha256")}
    record.write_text(json.dumps(stored))
    images = prepared.results.images("training", 32)
    made = images.stat().st_mtime_ns
    assert standing(prepared, unit_of(prepared, "data", ("training",))).word == "obsolete"
    prepare_role(prepared, "training")
    assert standing(prepared, unit_of(prepared, "data", ("training",))).finished
    assert images.stat().st_mtime_ns == made
    assert len(load_image_set(prepared, "training", 32)) == 32


def test_what_a_unit_reads_no_more_makes_it_obsolete(prepared):
    unit = unit_of(prepared, "audit", ())
    amend_record(unit.record(prepared), made_with=made_with(prepared, unit))
    assert standing(prepared, unit).finished
    made = made_with(prepared, unit)
    amend_record(unit.record(prepared), made_with={**made, "before": {**made["before"], "rejected_films": "0"}})
    assert standing(prepared, unit).why == ("rejected_films is not read any more",)
