"""DICOMweb as a source: against a real Orthanc where Debian's package is installed, and against a small server."""

import base64
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from dicom_films import Hospital

from cxrlib.errors import InputError
from cxrlib.intake import dicomweb
from cxrlib.intake.dicomweb import INSTANCE, MODALITY, SERIES, STUDY, TOKEN, fetch_films

BASIC = "Basic " + base64.b64encode(b"tester:secret of the test").decode()
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class SmallArchive(ThreadingHTTPServer):
    """QIDO and WADO of the files of a folder, in pages of two, with a token; `spoilt` names what goes wrong."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            uids = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID))
            self.files[uids] = (path.read_bytes(), dataset.Modality)
        self.spoilt, self.asked = "", []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/dicom-web"


class _Answer(BaseHTTPRequestHandler):
    server: SmallArchive

    def log_message(self, *_):
        pass

    def do_GET(self):
        path, query = urlsplit(self.path).path.removeprefix("/dicom-web"), parse_qs(urlsplit(self.path).query)
        self.server.asked.append(self.path)
        if self.headers.get("Authorization") != "Bearer a-token":
            self.send_error(401)
        elif self.server.spoilt == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://elsewhere.example/dicom-web/studies")
            self.end_headers()
        elif "/instances/" in path:
            self._film(tuple(path.split("/")[2::2]))
        else:
            self._rows(path, query)

    def _film(self, uids):
        content = self.server.files[uids][0]
        parts = (b"--x\r\nContent-Type: application/dicom\r\n\r\n", content, b"\r\n--x--\r\n")
        self._send(b"".join(parts), 'multipart/related; type="application/dicom"; boundary=x')

    def _rows(self, path, query):
        depth = path.count("/") // 2
        above = path.split("/")[2::2]
        rows = {uids[depth]: found for uids, found in self.server.files.items() if list(uids[:depth]) == above}
        tag = (STUDY, SERIES, INSTANCE)[depth]
        start = int(query["offset"][0])
        page = list(rows.items())[start : start + int(query["limit"][0])]
        answer = [{tag: {"Value": [uid]}, MODALITY: {"Value": [found[1]]}} for uid, found in page]
        if self.server.spoilt == "path" and depth == 0:
            answer = [{tag: {"Value": ["../../out"]}}]
        self._send(b"<html>" if self.server.spoilt == "page" else json.dumps(answer).encode(), "application/dicom+json")

    def _send(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """Films and others of three patients; pages are short, so that several are needed."""
    monkeypatch.setattr(dicomweb, "AT_A_TIME", 2)
    monkeypatch.setenv(TOKEN, "a-token")
    hospital = Hospital(tmp_path)
    hospital.write_labels(
        "patient_id,label", *(f"P{number},{('negative', 'positive')[number % 2]}" for number in range(5))
    )
    for number in range(5):
        hospital.add(f"{number}", PatientID=f"P{number}", ViewPosition="LL" if number == 4 else "PA")
    hospital.add("ct", PatientID="P0", Modality="CT")
    return hospital


@pytest.fixture
def archive(hospital):
    with SmallArchive(hospital.source) as server:
        yield server
        server.shutdown()


def test_an_archive_gives_the_same_outcomes_as_its_files(hospital, archive, tmp_path):
    said = []
    folder = fetch_films(archive.address, hospital.key, lambda what: lambda *counts: said.append((what, *counts)))
    assert said[-1] == ("fetched", 5, 5), "a series of CT is not fetched"
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.dcm")} == {0o600}
    hospital.run()
    by_files = hospital.content()["labels.csv"]
    hospital.source, hospital.out = folder, tmp_path / "from-the-web"
    assert hospital.run().used == 4
    assert hospital.content()["labels.csv"] == by_files
    before = len(archive.asked)
    assert fetch_films(archive.address, hospital.key) == folder
    assert not any("/instances/" in path for path in archive.asked[before:]), "what is there is not fetched again"
    archive.files.pop(next(iter(archive.files)))
    fetch_films(f"{archive.address}/?StudyDate=20200101-20201231", hospital.key)
    assert sum("/studies?StudyDate=20200101-20201231" in path for path in archive.asked) >= 2, "page by page"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [("page", "not the answer of a DICOMweb search"), ("path", "an id that is none of DICOM's"),
     ("elsewhere", "sends on to elsewhere.example"), ("token", "refused \\(401\\); set CXR_DICOMWEB_TOKEN"),
     ("gone", "can't be reached")],
)  # fmt: skip
def test_what_is_no_archive_is_said(hospital, archive, monkeypatch, spoilt, said):
    archive.spoilt = spoilt
    if spoilt == "token":
        monkeypatch.setenv(TOKEN, "another")
    if spoilt == "gone":
        archive.shutdown()
        archive.server_close()
    with pytest.raises(InputError, match=said) as refused:
        fetch_films(archive.address, hospital.key)
    assert "a-token" not in str(refused.value)


def test_the_token_goes_nowhere_unencrypted(hospital):
    with pytest.raises(InputError, match="would be sent unencrypted"):
        fetch_films("http://pacs.example/dicom-web", hospital.key)
    with pytest.raises(InputError, match="names a password"):
        fetch_films("https://me:secret@pacs.example/dicom-web", hospital.key)


@pytest.fixture
def orthanc(tmp_path):
    """A real Orthanc on loopback with its DICOMweb plugin: its address."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not PLUGIN.is_file():
        pytest.skip("no Orthanc with DICOMweb here: apt-get install orthanc orthanc-dicomweb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(tmp_path / "orthanc"), "IndexDirectory": str(tmp_path / "orthanc"), "HttpPort": port,
        "DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": True,
        "RegisteredUsers": {"tester": "secret of the test"}, "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with open(tmp_path / "orthanc.log", "w") as log:
        running = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, (tmp_path / "orthanc.log").read_text()[-2000:]
            time.sleep(0.1)
        yield address
    finally:
        running.terminate()
        running.wait(timeout=30)


@pytest.mark.long
def test_a_real_orthanc_gives_the_same_outcomes_as_files(hospital, orthanc, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, BASIC)
    for path in hospital.source.iterdir():
        request = urllib.request.Request(f"{orthanc}/instances", path.read_bytes(), {"Authorization": BASIC})
        with urllib.request.urlopen(request, timeout=30):
            pass
    hospital.run()
    by_files = hospital.content()
    hospital.source, hospital.out = fetch_films(f"{orthanc}/dicom-web", hospital.key), tmp_path / "from-orthanc"
    assert hospital.run().used == 4
    from_web = hospital.content()
    assert from_web["labels.csv"] == by_files["labels.csv"]
    pictures = [name for name in by_files if name.startswith("images")]
    assert all(from_web[name] == by_files[name] for name in pictures)
