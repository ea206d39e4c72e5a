"""A tiny study through a real Slurm, with the profile that is shipped."""

import importlib.util
import subprocess
import sys

import pytest
import small_slurm

from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import wanted_units

ARMS = {"arms": ["baseline", "synthetic"]}
STATUS = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]


def report(file, target, *options, environment=None):
    command = [sys.executable, "-m", "cxrlib.cli", "report", str(file), target, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def predictions(study):
    root = study.results.root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("classifier/**/predictions.csv")}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_jobs_of_gpus_go_to_the_gpus_and_the_predictions_are_the_same(tmp_path, write_study_in):
    """Begun here, gone on with on Slurm and finished there: the bits are those of this machine alone."""
    reason = small_slurm.why_not()
    if not reason and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        reason = "snakemake-executor-plugin-slurm is not installed"
    if reason:
        pytest.skip(reason)
    study = load_study(write_study_in(tmp_path / "slurm", classifier=ARMS))
    alone = load_study(write_study_in(tmp_path / "alone", classifier=ARMS))
    report(study.file, "audit")
    (tmp_path / "daemons").mkdir()
    with small_slurm.running_slurm(tmp_path / "daemons") as environment:
        # The node has a GPU in name only: what torch does not find, it does without.
        profile = ["--profile", str(REPOSITORY / "profiles" / "slurm"), "--", "--latency-wait", "10", "--retries", "0"]
        report(study.file, "classifier", *profile, *STATUS, environment=environment)
    finished = (tmp_path / "daemons" / "jobs.txt").read_text().splitlines()
    partitions = [line.split("Partition=")[1].split()[0] for line in finished]
    expected = [unit for unit in wanted_units(study, ["classifier"]) if unit.stage.name not in ("data", "audit")]
    assert len(expected) == 6
    assert partitions == ["gpu"] * len(expected)
    assert all("JobState=COMPLETED" in line for line in finished)
    report(alone.file, "classifier")
    assert predictions(study) == predictions(alone)
    assert len(predictions(study)) == 2
