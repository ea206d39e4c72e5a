"""The page "Your hospital's data": its commands as printed there, on films made here and on those pydicom ships."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_films import film, save
from PIL import Image

from cxrlib.cli import app
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.study import REPOSITORY, load_study

PAGE = REPOSITORY / "book" / "own-data.md"
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PATIENTS, SIZE = 16, 96


# The report is only planned here, not made: `--dry-run` goes to Snakemake. So there is no book to be published.
CXR = """#!/bin/sh
[ "$1" = report ] && set -- "$@" --dry-run
{python} -m cxrlib.cli "$@"
code=$?
[ "$1" = publish ] && [ $code = 2 ] && exit 0
exit $code
"""


def simulated(scanner: str, role: str) -> list[tuple[dict, np.ndarray]]:
    """Films of 16 patients of each label, some with several: (row of the manifest, grey values)."""
    source = PhantomSource(reader="phantom", scanner=scanner, negative_patients=PATIENTS, positive_patients=PATIENTS)
    manifest = phantom_manifest(source, role, 5)
    return [(row, phantom_film(source, 5, row, SIZE).image) for row in manifest.to_dict("records")]


def write_public(folder: Path, films: list[tuple[dict, np.ndarray]]) -> None:
    rows = []
    folder.mkdir(parents=True)
    for number, (row, image) in enumerate(films):
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append({"file": f"{number}.png", "patient_id": f"{folder.name}{row['patient_id']}", "label": row["label"]})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def write_export(data: Path) -> tuple[int, pd.DataFrame]:
    """Twelve-bit films, half of them MONOCHROME1, among pydicom's own files: (files, the table of labels)."""
    rows = []
    for number, (row, image) in enumerate(simulated("hospital", "hospital")):
        values = (4095 / 255 * image).astype(np.uint16)
        negative = number % 2 == 1
        photometric = "MONOCHROME1" if negative else "MONOCHROME2"
        dataset = film(
            4095 - values if negative else values, bits=12, PatientID=row["patient_id"], AccessionNumber=f"A{number}",
            PhotometricInterpretation=photometric, ViewPosition="AP",
        )  # fmt: skip
        save(dataset, data / "export" / f"PAT{number % 5}" / f"IM{number:06d}")
        rows.append({"patient_id": row["patient_id"], "accession_number": f"A{number}", "label": row["label"]})
    labels = pd.DataFrame(rows)
    labels.to_csv(data / "labels.csv", index=False)
    shutil.copytree(Path(pydicom.__file__).parent / "data" / "test_files", data / "export" / "others")
    return sum(path.is_file() for path in (data / "export").rglob("*")), labels


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, str, int, pd.DataFrame]:
    """Someone who follows the page in an empty place: (the place, what was printed, files in the export, labels)."""
    place = tmp_path_factory.mktemp("hospital")
    data = place / "data"
    files, labels = write_export(data)
    for role in ("training", "validation"):
        write_public(data / "public" / role, simulated("public", role))
    shutil.copytree(REPOSITORY / "studies", place / "studies")
    command = place / "bin" / "cxr"
    command.parent.mkdir()
    command.write_text(CXR.format(python=sys.executable))
    command.chmod(0o755)
    script = "set -euo pipefail\n" + "".join(BLOCKS).replace("/data/", f"{data}/")
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "HOME": str(place / "home")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return place, done.stdout + done.stderr, files, labels


def test_the_page_has_its_commands_in_order():
    commands = re.findall(r"^cxr (\S+)", "".join(BLOCKS), re.MULTILINE)
    assert commands == ["start", "import-dicom", "check", "report", "publish"]
    known = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert set(re.findall(r"`cxr ([a-z-]+)", PAGE.read_text())) <= known


def test_the_import_accounts_for_every_file(followed):
    place, printed, files, labels = followed
    count = labels["label"].value_counts()
    rows = pd.read_csv(place / "data" / "films" / "import.csv", keep_default_na=False)
    held_in_archives = rows["reason"].str.startswith("an archive: its files").sum()  # one each, in what pydicom ships
    assert len(rows) == files + held_in_archives
    assert (rows["outcome"] == "used").sum() == len(labels)
    assert f"{len(rows)} files = {len(labels)} used + {(rows['outcome'] == 'skipped').sum()} skipped" in printed
    assert f"of {2 * PATIENTS} patients: {count['negative']} negative, {count['positive']} positive" in printed
    assert (place / "home" / ".config" / "cxr" / "pseudonyms.key").stat().st_mode & 0o777 == 0o600


def test_the_films_arrive_as_they_were(followed):
    """MONOCHROME1 or 2, each film of the study is a simulated one, up to a stretch of its greys."""
    place, _, _, labels = followed
    arrived = np.load(place / "results" / "our-hospital" / "data" / "hospital" / "images-64.npy").astype(float)
    assert len(arrived) == len(labels)
    for _, image in simulated("hospital", "hospital"):
        greys = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR), float).ravel()
        assert max(np.corrcoef(greys, other.ravel())[0, 1] for other in arrived) > 0.99


def test_all_roles_were_prepared_and_the_report_can_begin(followed):
    place, printed, *_ = followed
    for role in ("training", "validation", "hospital"):
        assert (place / "results" / "our-hospital" / "data" / role / "manifest.csv").is_file()
    assert "our-hospital may run" in printed
    assert "jobs would run, " in printed
    assert "no book there yet" in printed


def test_the_template_also_describes_the_study_itself(tmp_path, monkeypatch):
    """Its last lines, with the first report's blocks removed and the marks taken away, are a valid study."""
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    monkeypatch.setenv("HOSPITAL_FILMS", str(tmp_path))
    template = (REPOSITORY / "studies" / "hospital-template.yaml").read_text()
    head, rest = template.split("# THE FIRST REPORT.")
    last = rest.split("It needs a GPU.\n")[1]
    file = tmp_path / "studies" / "whole.yaml"
    file.parent.mkdir()
    file.write_text(head.replace("hospital-template", "whole", 2) + re.sub(r"^# ?", "", last, flags=re.MULTILINE))
    study = load_study(file)
    assert (study.gan.resolution, study.classifier.network, study.classifier.doses) == (256, "resnet50", (10, 25, 50))
    assert load_study(REPOSITORY / "studies" / "hospital-template.yaml").gan.resolution == 64
