"""Films of an archive that speaks DICOMweb, such as Orthanc or a PACS: found by QIDO-RS, fetched by WADO-RS (PS3.18).

They are kept beside the key, since they name patients; what is there already is not fetched again.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from cxrlib.errors import InputError
from cxrlib.files import atomic_path
from cxrlib.intake.header import MODALITIES, PERHAPS_MODALITIES
from cxrlib.intake.pseudonyms import default_key_file, make_private_folder
from cxrlib.intake.source import DISK_KEPT_FREE_BYTES
from cxrlib.intake.work import Progress

TOKEN = "CXR_DICOMWEB_TOKEN"
STUDY, SERIES, INSTANCE, MODALITY = "0020000D", "0020000E", "00080018", "00080060"
AT_A_TIME, SECONDS, TRIES = 200, 60, 3
UID = re.compile(r"[0-9.]{1,64}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
WADO = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def is_web(source: str) -> bool:
    """Whether a source is an address, not a folder."""
    return source.startswith(("http://", "https://"))


def fetch_films(address: str, key_file: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch the radiographs that an archive has at `address`; returns the folder with their files.

    A query behind the address (`?StudyDate=20200301-20200430`) chooses among the studies. The environment's
    CXR_DICOMWEB_TOKEN is sent along, as a bearer's token or, where it names its scheme (`Basic …`), as it is; never
    unencrypted to another machine. Series of other modalities are not fetched. Raises `InputError` for an address that
    doesn't answer as DICOMweb does, a refusal, and a full disk; called again, it goes on.
    """
    key = Path(key_file or default_key_file()).expanduser().resolve()
    name = hashlib.sha256(address.encode()).hexdigest()[:12]
    folder = key.with_name(f"{key.name}.imports") / f"{name}-fetched"
    make_private_folder(folder)
    archive = _Archive(address)
    wanted = list(archive.instances())
    report = progress("fetched") if progress else None
    for done, (study, series, instance) in enumerate(wanted, 1):
        place = folder / study / series / f"{instance}.dcm"
        if not place.is_file():
            make_private_folder(place.parent)
            _keep(place, archive.file(study, series, instance))
        if report:
            report(done, len(wanted))
    # What the archive has no longer is no part of the import either.
    there = {folder / study / series / f"{instance}.dcm" for study, series, instance in wanted}
    for place in folder.rglob("*.dcm"):
        if place not in there:
            place.unlink()
    return folder


def _keep(place: Path, content: bytes) -> None:
    if shutil.disk_usage(place.parent).free < DISK_KEPT_FREE_BYTES + len(content):
        raise InputError(f"{place.parent}: the disk is full; name a --key on another one")
    with atomic_path(place, private=True) as temporary:
        temporary.write_bytes(content)


class _Archive:
    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise InputError(f"{address}: not an address: {error}; expected https://…") from None
        self.query = dict(parse_qsl(parts.query))
        self.base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        token = os.environ.get(TOKEN, "").strip()
        if token and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise InputError(f"{self.base}: {TOKEN} would be sent unencrypted; expected an address with https://")
        if parts.username or parts.password:
            raise InputError(f"the address names a password; put it into {TOKEN} instead, as `Basic …`")
        self.headers = {"Authorization": token if " " in token else f"Bearer {token}"} if token else {}
        self.opener: OpenerDirector = build_opener(_SameHost(parts.netloc))

    def instances(self) -> Iterator[tuple[str, str, str]]:
        """(study, series, instance) of everything that may be a radiograph."""
        for study in self._found("/studies", STUDY, self.query):
            for series in self._series(study):
                path = f"/studies/{study}/series/{series}/instances"
                yield from ((study, series, instance) for instance in self._found(path, INSTANCE, {}))

    def _series(self, study: str) -> Iterator[str]:
        for row in self._rows(f"/studies/{study}/series", SERIES, {}):
            if _value(row, MODALITY).upper() in MODALITIES + PERHAPS_MODALITIES:
                yield _uid(row, SERIES, self.base)

    def _found(self, path: str, tag: str, query: dict[str, str]) -> Iterator[str]:
        return (_uid(row, tag, self.base) for row in self._rows(path, tag, query))

    def _rows(self, path: str, tag: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """All rows of a search, page by page; an archive that pages no further repeats what is known."""
        seen: set[str] = set()
        while True:
            asked = urlencode({**query, "limit": AT_A_TIME, "offset": len(seen)})
            content, _ = self._get(f"{path}?{asked}", "application/dicom+json")
            try:
                rows = json.loads(content) if content else []
                new = [row for row in rows if _value(row, tag) not in seen]
            except (ValueError, AttributeError, TypeError):
                raise InputError(f"{self.base}{path}: not the answer of a DICOMweb search; check the address") from None
            seen |= {_value(row, tag) for row in new}
            yield from new
            if not new or len(rows) < AT_A_TIME:
                return

    def file(self, study: str, series: str, instance: str) -> bytes:
        """The DICOM file of an instance, as the archive keeps it."""
        path = f"/studies/{study}/series/{series}/instances/{instance}"
        content, headers = self._get(path, WADO)
        if headers.get_content_type() == "application/dicom":
            return content
        boundary = str(headers.get_param("boundary") or "").encode()
        start, end = content.find(b"\r\n\r\n"), content.rfind(b"\r\n--" + boundary)
        if not boundary or start < 0 or end <= start:
            raise InputError(f"{self.base}: answers a request for a film with {headers.get_content_type()}")
        return content[start + 4 : end]

    def _get(self, path: str, accept: str) -> tuple[bytes, Message]:
        request = Request(f"{self.base}{path}", headers={"Accept": accept, **self.headers})
        for tried in range(1, TRIES + 1):
            try:
                with self.opener.open(request, timeout=SECONDS) as answer:
                    return answer.read(), answer.headers
            except HTTPError as error:
                error.close()
                if error.code in (401, 403):
                    raise InputError(f"{self.base}: refused ({error.code}); set {TOKEN} to a valid token") from None
                if error.code < 500 or tried == TRIES:
                    raise InputError(f"{self.base}: answers {error.code}; check that this is a DICOMweb root") from None
            except (URLError, HTTPException, OSError) as error:
                if tried == TRIES:
                    reason = getattr(error, "reason", error)
                    raise InputError(f"{self.base}: can't be reached: {reason}; run the command again") from None
        raise AssertionError("the last try returns or raises")


class _SameHost(HTTPRedirectHandler):
    """Follows an archive's redirects to itself only: anybody else has no business with the token."""

    def __init__(self, host: str) -> None:
        self.host = host

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).netloc != self.host or not newurl.startswith(req.full_url.partition(":")[0]):
            fp.close()
            raise InputError(f"{self.host}: sends on to {urlsplit(newurl).netloc}; name that address yourself")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _value(row: dict[str, Any], tag: str) -> str:
    return str((row.get(tag, {}).get("Value") or [""])[0])


def _uid(row: dict[str, Any], tag: str, where: str) -> str:
    """It becomes a file's name, so it must be what DICOM says: digits and dots."""
    uid = _value(row, tag)
    if not UID.fullmatch(uid) or ".." in uid or uid == ".":
        raise InputError(f"{where}: names something by an id that is none of DICOM's")
    return uid
