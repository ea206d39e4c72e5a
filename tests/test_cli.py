"""What a user types, and what he or she is told."""

import json
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer
import yaml

from cxrlib import cli, progress
from cxrlib.commands import console, work
from cxrlib.errors import InputError
from cxrlib.study import load_study


def cxr(*arguments, cwd=None):
    command = [sys.executable, "-m", "cxrlib.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def test_help_names_every_stage():
    done = cxr("--help")
    assert done.returncode == 0
    for command in ("report", "show", "prepare", "train-gan", "synthesise", "train-classifier", "build-book"):
        assert command in done.stdout


def test_show_prints_the_resolved_settings(tiny_study_file):
    done = cxr("show", tiny_study_file)
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert settings == load_study(tiny_study_file).resolved()
    assert settings["classifier"]["maximum_learning_rate"] == 0.006


def test_progress_says_how_long_is_left_but_not_often(monkeypatch, caplog):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with caplog.at_level("INFO", logger="cxr"):
        report = console.progress_of("films of training")
        for seconds, done in ((0, 1), (5, 11), (12, 25), (13, 27), (40, 100)):
            clock[0] = seconds
            report(done, 100)
    # 24 films in 12 seconds: the other 75 take 38.
    assert [record.message for record in caplog.records] == [
        "films of training: 25 of 100, 38 s left",
        "films of training: 100 of 100, done after 40 s",
    ]


@pytest.mark.parametrize("command", ["show", "report"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gan": {"batch_sise": 8}}, "gan.batch_sise: unknown key; did you mean `batch_size`?"),
        ({"data": {"hospital": {"reader": "folder", "folder": "no/such/folder"}}}, "no/such/folder"),
    ],
)
def test_bad_studies_end_with_a_message_and_write_nothing(write_tiny_study, command, changes, said):
    file = write_tiny_study(**changes)
    done = cxr(command, file, cwd=file.parent.parent)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in file.parent.parent.iterdir()) == ["studies"]


def test_an_empty_folder_of_films_is_refused(write_tiny_study, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    (films / "labels.csv").write_text("file,patient_id,label\n")
    file = write_tiny_study(data={"hospital": {"reader": "folder", "folder": str(films)}})
    done = cxr("report", file)
    assert done.returncode == 2
    assert "hospital" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train-gan", "--label", "maybe"), "--label: found `maybe`, expected one of: negative, positive"),
        (("train-gan", "--label", "positive", "--fold", "fold9"), "--fold: found `fold9`"),
        (("train-classifier", "--arm", "magic"), "--arm: found `magic`, expected one of: baseline"),
        (("prepare", "--role", "test"), "--role: found `test`"),
    ],
)
def test_wrong_arguments_are_named(tiny_study_file, arguments, said):
    done = cxr(arguments[0], tiny_study_file, *arguments[1:])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_films_for_a_generator_are_said_before_anything_runs(write_tiny_study):
    hospital = {"reader": "phantom", "scanner": "hospital", "negative_patients": 16, "positive_patients": 4}
    file = write_tiny_study(data={"hospital": hospital})
    done = cxr("report", file)
    assert done.returncode == 2
    assert "positive ones, but it needs at least 8" in done.stderr
    assert not (file.parent.parent / "results").exists()


def test_every_command_has_a_place_and_an_example_that_it_understands():
    group = typer.main.get_command(cli.app)
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert command.rich_help_panel, f"{name}: not in commands.csv"
        words = shlex.split(command.epilog.removeprefix("Example: "))
        assert words[:2] == ["cxr", name]
        # Raises for options and arguments that are missing or unknown.
        assert group.commands[name].make_context(name, words[2:])


def test_every_command_can_answer_in_json_but_those_that_serve_until_they_are_stopped():
    for name, command in typer.main.get_command(cli.app).commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (name not in ("review", "label")), name


def test_a_program_is_told_in_json_what_is_wrong(tiny_study_file):
    done = cxr("train-classifier", tiny_study_file, "--arm", "magic", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"].startswith("--arm: found `magic`")
    assert "--arm: found `magic`" in done.stderr


def test_a_program_that_asks_for_settings_gets_nothing_else(tiny_study_file):
    assert json.loads(cxr("show", tiny_study_file, "--json").stdout) == load_study(tiny_study_file).resolved()


def test_the_version_is_that_of_the_package():
    assert cxr("--version").stdout == f"cxr {version('cxrlib')}\n"


@pytest.mark.parametrize("command", ["show", "report", "status", "doctor", "train-gan"])
def test_options_that_no_command_has_are_refused(tiny_study_file, command):
    done = cxr(command, tiny_study_file, "--frobnicate")
    assert done.returncode == 2
    assert "--frobnicate" in done.stderr
    assert not (tiny_study_file.parent.parent / "results").exists()


def test_what_follows_two_dashes_goes_to_snakemake_and_a_misspelt_stage_does_not():
    assert work._targets([]) == (["book"], [])
    assert work._targets(["tables", "chapter", "--retries", "3"]) == (["tables", "chapter"], ["--retries", "3"])
    with pytest.raises(InputError, match="found `tabels`, which is not a stage; did you mean `tables`"):
        work._targets(["tabels"])


def test_the_home_folder_is_found_wherever_a_path_may_stand(tiny_study_file, monkeypatch):
    home = tiny_study_file.parent.parent
    monkeypatch.setenv("HOME", str(home))
    assert cxr("show", "~/studies/tiny.yaml").returncode == 0
    text = tiny_study_file.read_text() + "\n"
    study = yaml.safe_load(text)
    study["data"]["hospital"] = {"reader": "folder", "folder": "~/films"}
    tiny_study_file.write_text(yaml.safe_dump(study))
    assert load_study(tiny_study_file).data.hospital.folder == home / "films"


def test_a_study_file_may_end_in_yml_and_near_names_are_hinted_at(tiny_study_file):
    home = tiny_study_file.parent.parent
    assert "did you mean `tiny`?" in cxr("show", "tinny", cwd=home).stderr
    assert "did you mean studies/tiny.yaml?" in cxr("show", "studies/tiny.yml", cwd=home).stderr
    tiny_study_file.rename(tiny_study_file.with_suffix(".yml"))
    assert cxr("show", "tiny", cwd=home).returncode == 0
    assert "did you mean studies/tiny.yml?" in cxr("show", "studies/tiny.yaml", cwd=home).stderr
    assert "did you mean studies/tiny.yml?" in cxr("show", "tiny.yaml", cwd=home).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "a" * 5000), "no studies/aaa"),
        (("settle", "a" * 5000), "name too long; name another path"),
        (("start", "https://[", "--yes"), "not an address"),
        (("report", "tiny", "--cores", "-1"), "--cores"),
    ],
)
def test_what_nobody_can_mean_is_told_in_a_line(tiny_study_file, arguments, said):
    done = cxr(*arguments, cwd=tiny_study_file.parent.parent)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
