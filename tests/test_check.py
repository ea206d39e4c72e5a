"""`cxr check`: what a person reads before anything is trained."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrlib.check import check_study
from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.films import look
from cxrlib.study import load_study
from cxrlib.units import all_units

WATCHED = """
import atexit, sys
from cxrlib.cli import main
atexit.register(lambda: "torch" in sys.modules and sys.stderr.write("torch was loaded"))
main()
"""


def cxr(*arguments):
    """`cxr …` in a process of its own, which says on standard error if it has loaded torch."""
    command = [sys.executable, "-c", WATCHED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def chest_like(random):
    """A film that resembles a chest as much as the look at pictures asks, and no other film: much noise over it."""
    average = Image.fromarray(look.average().astype(np.float32)).resize((40, 40), Image.Resampling.BICUBIC)
    greys = 120 + 30 * np.asarray(average) + random.normal(0, 35, (40, 40))
    return Image.fromarray(np.clip(greys, 0, 255).astype(np.uint8))


def make_folder(folder, prefix, count, seed, patients=()):
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["file,patient_id,label"]
    for number in range(count):
        chest_like(random).save(folder / f"{number}.png")
        patient = patients[number] if number < len(patients) else f"{prefix}{number}"
        lines.append(f"{number}.png,{patient},{'positive' if number % 2 else 'negative'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return {"reader": "folder", "folder": str(folder)}


def make_covidx(folder, present=6):
    """A tree of which only the label files are complete."""
    (folder / "test").mkdir(parents=True)
    lines = [f"COVID {n} film({n}).png {'positive' if n % 2 else 'negative'} sirm" for n in range(10)]
    (folder / "test_COVIDx8B.txt").write_text("\n".join(lines) + "\n")
    (folder / "train_COVIDx8B.txt").write_text("7 other.png negative rsna\n8 another.png positive sirm\n")
    for number in range(present):
        chest_like(np.random.default_rng(100 + number)).save(folder / "test" / f"film({number}).png")
    return {"reader": "covidx", "folder": str(folder), "split": "test"}


@pytest.fixture
def data(tmp_path):
    return {
        "training": make_folder(tmp_path / "public", "t", 8, 1),
        "validation": make_covidx(tmp_path / "covidx") | {"allow_missing": True},
        "hospital": make_folder(tmp_path / "clinic", "h", 40, 3),
    }


def flat(text):
    return " ".join(text.split())


def test_a_good_study_is_described_and_may_run_without_torch(data, write_tiny_study, tmp_path):
    file = write_tiny_study(data=data)
    (tmp_path / "public" / "1.png").write_bytes((tmp_path / "clinic" / "3.png").read_bytes())
    (tmp_path / "clinic" / "5.png").write_bytes(b"not a film")
    done = cxr("check", file)
    assert done.returncode == 0, done.stderr
    assert "torch was loaded" not in done.stderr
    said = flat(done.stdout)
    assert "test: 6 of 10 images present (3 of 5 positive, 3 of 5 negative)" in said
    assert "train: 0 of 2 images present" in said
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert ["training", "8", "0", "0", "0", "1", "7", "7", "3", "4"] in cells
    assert ["validation", "10", "4", "0", "0", "0", "6", "6", "3", "3"] in cells
    assert ["hospital", "40", "0", "0", "1", "0", "39", "39", "19", "20"] in cells
    assert ["validation", "missing", "4"] in cells
    assert ["hospital", "training", "same-file", "1", "training"] in cells
    assert str(load_study(file).results.duplicates) in done.stdout
    assert "may run. 1 public copy is left out of every stage." in said
    assert "training: ready, but 1 film is a copy and left out" in said
    assert "validation: ready, but 4 of 10 listed films are not there" in said
    assert "hospital: ready, but 1 of 40 listed films can't be used" in said
    page = load_study(file).results.root / "data" / "check.html"
    assert page.as_uri() in done.stdout.replace("\n", "")
    assert page.stat().st_mode & 0o777 == 0o600
    text = page.read_text()
    assert text.count("<img") == 7 + 1 + 6 + 24 + 2, "of each label up to 12 films, copies too, and both of the pair"
    assert "hospital and training" in text or "training and hospital" in text


def test_everything_wrong_is_said_at_once_and_nothing_is_prepared(data, write_tiny_study, tmp_path):
    data["validation"] = make_covidx(tmp_path / "partial", present=0)
    data["hospital"] = make_folder(tmp_path / "other", "h", 40, 3, patients=["t1", "t2"])
    data["hospital"]["publishable"] = False
    file = write_tiny_study(data=data)
    done = cxr("check", file)
    assert done.returncode == 2
    assert "0 of 10 images present" in flat(done.stdout)
    problems = [line for line in done.stderr.splitlines() if "data." in line]
    assert len(problems) == 2
    assert "training: not ready" not in done.stdout
    assert "validation: not ready, because" in flat(done.stdout)
    assert "hospital: not ready, because 2 of its patients also have films in data.training" in flat(done.stdout)
    assert "data.validation" in problems[0]
    assert "10 of the 10 images in test_COVIDx8B.txt are missing" in problems[0]
    assert "data.hospital: 2 of its patients also have films in data.training" in problems[1]
    assert "t1" not in done.stderr, "no id of a private role"
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_programs_read_the_verdicts_and_their_exit_codes(data, write_tiny_study, tmp_path):
    data["validation"] = make_folder(tmp_path / "more", "v", 8, 5)
    data |= {role: source | {"publishable": True} for role, source in data.items()}
    command = ["check", str(write_tiny_study(data=data)), "--json", "--strict"]
    done = CliRunner().invoke(app, command)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["may_run"]) == (0, True)
    assert {role: told["verdict"] for role, told in found["roles"].items()} == dict.fromkeys(data, "ready")
    assert found["roles"]["hospital"]["used"]["images_used"] == 40
    (tmp_path / "clinic" / "5.png").write_bytes(b"not a film")
    done = CliRunner().invoke(app, [*command, "--force"])
    assert (done.exit_code, json.loads(done.stdout)["roles"]["hospital"]["verdict"]) == (1, "ready, but")
    (tmp_path / "more" / "labels.csv").unlink()
    done = CliRunner().invoke(app, command)
    found = json.loads(done.stdout)
    assert isinstance(done.exception, InputError)
    assert (found["may_run"], found["roles"]["validation"]["verdict"]) == (False, "not ready")
    assert "no folders named by label" in found["roles"]["validation"]["why"][0]


def test_films_that_hang_wrong_are_counted_and_shown_unless_an_import_has_looked(data, write_tiny_study, tmp_path):
    data["validation"] = make_folder(tmp_path / "more", "v", 8, 5)
    for number in range(8):
        with Image.open(tmp_path / "clinic" / f"{number}.png") as film:
            film.rotate(180).save(tmp_path / "clinic" / f"{number}.png")
    data = {role: source | {"publishable": True} for role, source in data.items()}
    file = write_tiny_study(data=data)
    said = flat(CliRunner().invoke(app, ["check", str(file)]).stdout)
    assert "hospital: 8 of 40: 8 looks turned" in said
    assert "hospital: ready, but 8 of 40 films may hang wrong, or be no frontal chest films" in said
    assert "training: ready validation: ready" in said
    assert "<h3>8 looks turned</h3>" in (load_study(file).results.root / "data" / "check.html").read_text()
    found = json.loads(CliRunner().invoke(app, ["check", str(file), "--json"]).stdout)["roles"]
    assert {role: told["doubtful"] for role, told in found.items() if told["doubtful"]} == {
        "hospital": {"looks turned": 8}
    }
    (tmp_path / "clinic" / "import.csv").touch()
    said = flat(CliRunner().invoke(app, ["check", str(file), "--force"]).stdout)
    assert "looks turned" not in said


def test_report_refuses_shared_patients_before_anything_runs(data, write_tiny_study, tmp_path):
    data["hospital"] = make_folder(tmp_path / "other", "h", 40, 3, patients=["t1"])
    done = cxr("report", write_tiny_study(data=data))
    assert done.returncode == 2
    assert "1 of its patients also have films in data.training" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_refusal_of_the_audit_is_the_report_s_message(data, write_tiny_study, tmp_path):
    """The films show only when they are read that a label has nothing but copies."""
    for number in (1, 3, 5, 7):
        (tmp_path / "public" / f"{number}.png").write_bytes((tmp_path / "clinic" / f"{number}.png").read_bytes())
    file = write_tiny_study(data=data)
    command = [sys.executable, "-m", "cxrlib.cli", "report", str(file), "--cores", "1", "tables"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("cxr: ")]
    assert "data.training: without the 4 copies of films of other roles" in message
    assert "no positive film is left" in message
    study = load_study(file)
    assert not any(unit.record(study).exists() for unit in all_units(study) if unit.stage.name != "data")


def test_real_folders_are_described_by_name(real_films, write_tiny_study, monkeypatch):
    """Both splits of the partial COVIDx tree, from its lists; the preparation is the same as for other films."""
    tree = str(real_films / "covidx8b")
    covidx = {"reader": "covidx", "folder": tree, "split": "test", "allow_missing": True}
    study = load_study(write_tiny_study(data={"validation": covidx}))
    parts = check_study(study)
    text = ""
    while "test: " not in text:
        text += f"\n{next(parts)}"
    assert "316 of 400 images present" in text
    assert "64 of 15,952 images present" in text
    assert "14,968 patients" in text
