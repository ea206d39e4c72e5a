"""A tiny study with a toy of every kind, run to its book once: then damaged, robbed and made again, part by part."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import check_book
import hammered_study
import pandas as pd
import pytest
import toys
from damages import DAMAGES

from cxrlib import cli
from cxrlib.artifacts import CHAPTERS
from cxrlib.files import read_json
from cxrlib.finished import standing
from cxrlib.study import load_study
from cxrlib.units import wanted_units
from cxrlib.workflow import overview

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

KINDS = (
    "data/training/images-32.npy", "data/validation/manifest.csv", "data/hospital/audit.json", "data/audit.json",
    "gan/positive/all/generator.safetensors", "gan/negative/all/config.json", "synthetic/positive/all/images.npy",
    "synthetic/negative/all/manifest.csv", "classifier/toy/seed0/all/model.safetensors",
    "classifier/toy/seed0/all/predictions.csv", "tables/table2.csv", "tables/films.json", "tables/quality.json",
    "tables/tables.json", "explanations/maps.npy", "chapters/06_toy.ipynb", "chapters/06_toy.json",
    "lungs/measures.csv", "lungs/lungs.json", "data/duplicates.csv",
    "endpoint.json", "study.yaml", "provenance.json", "classifier/toy/seed0/all/openings.csv",
    "review/first-reading/protocol.yaml", "review/first-reading/worklist.csv", "review/first-reading/tasks.csv",
    "../../_build/tiny/html/index.html", "../../_build/tiny/html/chapters/06_toy.html",
)  # fmt: skip


def report(study, *options):
    command = [sys.executable, "-m", "cxrlib.cli", "report", "tiny", *options]
    done = subprocess.run(command, env=toys.ENVIRONMENT, cwd=study.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_study_in):
    root = tmp_path_factory.mktemp("toys")
    toys.write_films(root / "films")
    toys.write_chapter(root, "06_toy")
    toys.register()
    source = {**toys.STUDY["data"]["validation"], "folder": str(root / "films")}
    study = load_study(write_study_in(root, **{**toys.STUDY, "data": {"validation": source}}))
    report(study)
    yield study
    toys.unregister()


@pytest.fixture
def run(finished, monkeypatch):
    """Type a command in the study's folder."""
    monkeypatch.chdir(finished.root)
    monkeypatch.setenv("PYTHONPATH", toys.ENVIRONMENT["PYTHONPATH"])
    return lambda command: cli.app(shlex.split(command)[1:], standalone_mode=False)


def openings(study):
    return {path: path.read_text() for path in study.results.root.glob("classifier/**/openings.csv")}


def test_a_toy_of_each_kind_comes_as_far_as_the_book(finished):
    html = finished.build_folder / "html"
    assert set(pd.read_csv(finished.results.manifest("validation"))["source"]) == {"toys"}
    assert "toy" in set(pd.read_csv(finished.results.table("table2"))["arm"])
    assert "Does a toy help?" in (html / "chapters" / "04_classifier_training.html").read_text(encoding="utf-8")
    index = (html / "index.html").read_text(encoding="utf-8")
    assert "What do toys show?" in index
    assert all(f'href="chapters/{name}.html"' in index for name in CHAPTERS)
    if check_book.browser_path():
        found = check_book.check_book(html, tuple(CHAPTERS))
        assert found.chapters == 6
        assert found.problems == []


def test_a_second_report_has_nothing_to_do(finished):
    before = toys.models(finished), openings(finished)
    assert "tiny: 0 jobs to do" in report(finished)
    assert (toys.models(finished), openings(finished)) == before


def test_an_audit_made_anew_makes_nothing_else_anew(finished, run):
    before, at = (toys.models(finished), openings(finished)), finished.results.audit_record.stat().st_mtime_ns
    run("cxr check tiny --force")
    assert finished.results.audit_record.stat().st_mtime_ns != at
    assert overview.to_do(finished, ["book"]) == []
    assert (toys.models(finished), openings(finished)) == before


def test_what_is_missing_is_made_again_and_nothing_is_trained(finished):
    before = toys.models(finished), openings(finished)
    records = [finished.results.tables_record, finished.results.films_record, finished.results.quality_record]
    shutil.rmtree(finished.results.data("validation"))
    for path in records:
        path.unlink()
    missing = {unit["unit"] for unit in overview.to_do(finished, ["book"]) if unit["standing"] == "missing"}
    assert missing == {"data/validation", "film_tables", "quality", "tables"}
    report(finished)
    assert all(path.exists() for path in (*records, finished.results.images("validation", 32)))
    assert overview.to_do(finished, ["book"]) == overview.verify(finished) == []
    assert (toys.models(finished), openings(finished)) == before


@pytest.mark.parametrize("name", KINDS)
def test_every_damage_is_found_named_and_repaired_by_the_command(finished, name, run):
    path = (finished.results.root / name).resolve()
    before, whole, models = path.stat(), path.read_bytes(), toys.predictions(finished)
    for damage in DAMAGES.values():
        path.write_bytes(damage(whole))
        # Damage that keeps the time is found all the same.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        (found,) = overview.verify(finished)
        assert path.name in found["problem"]
        said = {unit["unit"]: unit["standing"] for unit in overview.to_do(finished, ["book"])}
        assert said.get(found["unit"], "no unit") in ("damaged", "no unit")
    run(found["command"])
    assert overview.verify(finished) == []
    assert toys.predictions(finished) == models
    if path.suffix in (".npy", ".safetensors", ".csv"):
        assert path.read_bytes() == whole


def test_results_of_an_older_version_are_taken_over(finished, run):
    before = toys.models(finished), openings(finished), toys.predictions(finished)
    found = wanted_units(finished, ["classifier", "rejected_films"])
    for record in {unit.record(finished) for unit in found}:
        stored = read_json(record)
        for key in ("outputs", "made_with", "sha256"):
            del stored[key]
        record.write_text(json.dumps(stored))
    assert {standing(finished, unit).word for unit in found} == {"obsolete"}
    for unit in found:
        run(unit.command(finished))
    assert all(standing(finished, unit).finished for unit in found)
    # What is taken over is watched from then on.
    unwatched = {unit.id for unit in found if unit.stage.outputs and not read_json(unit.record(finished))["outputs"]}
    assert unwatched == set()
    assert (toys.models(finished), openings(finished), toys.predictions(finished)) == before


def test_reports_that_are_killed_at_random_moments_lose_nothing(tmp_path):
    command = [sys.executable, hammered_study.__file__, str(tmp_path), "4", "2"]
    done = subprocess.run(command, env=toys.ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same predictions"]
    assert told["the book is there"]
    assert [told.get(name, 0) for name in ("outlived", "freed early", "made again")] == [0, 0, 0]
