"""A whole tiny study through Snakemake: killed and gone on with, it ends with the same predictions."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import toys
from hammered_study import is_free, kill

from cxrlib.classifiers.arms import ARMS
from cxrlib.errors import InputError
from cxrlib.study import load_study
from cxrlib.units import all_units, units
from cxrlib.workflow.processes import REPORT
from cxrlib.workflow.report import only_one_report, save_settings, snakemake_command


def start_report(file):
    """`cxr report FILE tables`: every stage up to the tables, no chapters."""
    command = [sys.executable, "-m", "cxrlib.cli", "report", str(file), "--cores", "2", "tables"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def predictions(file):
    root = load_study(file).results.root
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("classifier/**/predictions.csv"))
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_study_in):
    """A tiny study, run without interruption: its file, its predictions and what it printed."""
    file = write_study_in(tmp_path_factory.mktemp("whole"))
    process = start_report(file)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return file, predictions(file), output


def test_every_model_has_predictions(finished):
    file, found, output = finished
    assert len(found) == 4, sorted(found)
    assert "classifiers" in output
    assert "this run took" in output
    assert load_study(file).results.table("table2").is_file()


def test_a_second_run_has_nothing_to_do(finished):
    file, before, _ = finished
    process = start_report(file)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "tiny: 0 jobs to do" in output
    assert predictions(file) == before


def test_a_job_of_a_report_gives_its_lock_back_when_its_process_ends(tmp_path, write_study_in):
    """A job that has just finished may have threads that write; a report that is begun then waits for its end."""
    study = load_study(write_study_in(tmp_path))
    work = "with a_job_of(load_study({file!r})): pass\nprint(is_free({lock!r}))"
    lines = ["from hammered_study import is_free", "from cxrlib.study import load_study"]
    lines += ["from cxrlib.workflow.report import a_job_of", work]
    lock = study.results.root / ".jobs"
    code = "\n".join(lines).format(file=str(study.file), lock=str(lock))
    for report, free in ((os.getpid(), "False"), (0, "True")):
        environment = {**toys.ENVIRONMENT, REPORT: str(report)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.stdout.strip(), done.stderr) == (free, "")
        assert is_free(lock)


def test_three_signals_end_all_below_free_the_lock_last_and_change_nothing(finished, tmp_path_factory, write_study_in):
    _, expected, _ = finished
    study = load_study(write_study_in(tmp_path_factory.mktemp("killed")))
    moments = random.Random(2021)
    begun = zip((signal.SIGTERM, signal.SIGHUP, signal.SIGKILL), ((1, 5), (7, 11), (13, 16)), strict=True)
    for number, range_of_jobs in begun:
        jobs_done = moments.randint(*range_of_jobs)
        process = start_report(study.file)
        while sum(unit.stamp(study).exists() for unit in all_units(study)) < jobs_done and process.poll() is None:
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 2))
        assert process.poll() is None, f"ended before it was killed: {process.communicate()[0]}"
        outlived, freed_early = kill(study, process, number)
        assert (outlived, freed_early) == (0, 0)
    process = start_report(study.file)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert predictions(study.file) == expected


def test_other_settings_are_named_and_nothing_is_touched(finished):
    file, before, _ = finished
    text = file.read_text()
    file.write_text(text.replace("total_images: 96", "total_images: 128"))
    try:
        process = start_report(file)
        output, _ = process.communicate(timeout=120)
    finally:
        file.write_text(text)
    assert process.returncode == 2
    assert "gan.total_images: there 96, now 128" in output
    assert "Traceback" not in output
    assert predictions(file) == before


def test_new_titles_arms_and_seeds_keep_what_is_finished(write_tiny_study):
    save_settings(load_study(write_tiny_study()))
    save_settings(load_study(write_tiny_study(title="Another title", classifier={"seeds": 2})))
    with pytest.raises(InputError, match=r"seed: there 7, now 8"):
        save_settings(load_study(write_tiny_study(seed=8)))


def test_force_keeps_the_readers_answers(tiny_study_file):
    study = load_study(tiny_study_file)
    save_settings(study)
    answers = study.results.review("single-films") / "events" / "anna-1.jsonl"
    model = study.results.classifier("baseline", 0, "all") / "model.safetensors"
    for file in (answers, model):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    save_settings(study, force=True)
    assert answers.exists()
    assert not model.exists()


def test_one_report_at_a_time(tiny_study_file):
    study = load_study(tiny_study_file)
    with (
        only_one_report(study),
        pytest.raises(InputError, match="another report"),
        only_one_report(study),
    ):
        pass


def test_snakemake_plans_exactly_the_units_of_a_study(write_tiny_study):
    """A dry run of a study with all arms and two doses."""
    study = load_study(write_tiny_study(classifier={"seeds": 2, "arms": list(ARMS), "doses": [10, 50]}))
    models = {
        (arm, seed, fold)
        for arm in study.classifier_arms
        for seed in study.classifier_seeds(arm)
        for fold in study.classifier_folds(arm)
    }
    assert {unit.key for unit in units(study, "classifier")} == models
    assert len(units(study, "generator")) == 2 * 3
    found = all_units(study)
    assert len({unit.title for unit in found}) == len({unit.id for unit in found}) == len(found)
    save_settings(study)
    command = snakemake_command(study, [unit.stamp(study) for unit in found], 1, ["--dry-run"])
    done = subprocess.run(command, cwd=study.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    planned = re.findall(r"^ +output: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
    assert sorted(planned) == sorted(str(unit.stamp(study)) for unit in found)
