"""What `cxr doctor` says of a machine, and what it tells people to do."""

import json

import pytest
from test_cli import cxr

from cxrlib.study import load_study
from cxrlib.workflow import doctor

FOLDER = {"reader": "folder", "folder": "/no/such/folder"}


def test_it_answers_in_lines_and_in_json(tiny_study_file):
    done = cxr("doctor", tiny_study_file, "--json")
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert {"system", "Python", "disk", "memory", "cores", "GPU", "browser", "proxy", "Slurm", "[publish]"} <= set(
        found
    )
    assert found["hospital"] == {"what": "hospital", "state": "ok", "found": "simulated", "todo": ""}
    assert done.returncode == 0
    lines = doctor.as_lines([doctor.Finding("x", "missing", "no x", "get one")])
    assert lines == ["missing x           no x", " " * 20 + "get one", "\n1 missing: see above what to do"]


def test_missing_films_end_with_an_error(write_tiny_study):
    done = cxr("doctor", write_tiny_study(data={"hospital": FOLDER}))
    assert done.returncode == 1
    assert "missing hospital    no folder /no/such/folder" in done.stdout
    assert "1 missing" in done.stdout


@pytest.mark.parametrize(
    ("system", "state"),
    [(("Linux", "x86_64"), "ok"), (("Darwin", "arm64"), "ok"), (("Darwin", "x86_64"), "missing"),
     (("Windows", "AMD64"), "missing")],
)  # fmt: skip
def test_systems_without_torch_are_named(monkeypatch, system, state):
    monkeypatch.setattr(doctor.platform, "system", lambda: system[0])
    monkeypatch.setattr(doctor.platform, "machine", lambda: system[1])
    assert doctor._system().state == state


def test_a_proxy_is_named_without_its_password_and_wants_a_certificate(tmp_path):
    proxied = {"HTTPS_PROXY": "http://anna:secret@proxy.hospital:8080"}
    (found,) = doctor._proxy(proxied)
    assert (found.state, "proxy.hospital" in found.found) == ("look", True)
    assert "secret" not in found.found
    assert "SSL_CERT_FILE" in found.todo
    certificate = tmp_path / "own.pem"
    (found,) = doctor._proxy(proxied | {"SSL_CERT_FILE": str(certificate)})
    assert found.state == "missing"
    certificate.touch()
    (found,) = doctor._proxy(proxied | {"SSL_CERT_FILE": str(certificate)})
    assert found.state == "ok"


def test_weights_are_looked_for_where_torch_keeps_them(write_tiny_study, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    study = load_study(write_tiny_study(classifier={"weights": "imagenet", "network": "mnasnet1_0"}))
    assert doctor._weights(study).state == "look"
    kept = tmp_path / "hub" / "checkpoints" / "mnasnet1.0_top1_73.512-f206786ef8.pth"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert doctor._weights(study).state == "ok"
