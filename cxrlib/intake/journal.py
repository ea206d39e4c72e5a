"""The import's memory on disk: what is known of every file, safe against being killed at any moment.

It lies beside the key, never in the folder that is passed on, since it knows the source's file names. An SQLite
database holds any number of files in little memory and never shows half of a change.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cxrlib.errors import InputError
from cxrlib.films.table_words import UNCERTAIN
from cxrlib.intake.header import DUPLICATE, NO_ID, REJECTED, UNCERTAIN_LABEL, UNLABELLED, Header
from cxrlib.intake.judgement import JUDGED, UNCLEAR
from cxrlib.intake.labels import BARE, KEYS
from cxrlib.intake.pseudonyms import make_private_folder
from cxrlib.intake.rules import FIELDS, Rules

KEY_KINDS = (*KEYS, *BARE.values())
FACTS = ("image_id", "patient_id", "view", "sex", "age", "year", "turn", "note")
ROWS_AT_A_TIME = 1000
LABELLED = "label IN ('negative', 'positive') AND patient_id != ''"

# header_reason and pixel_reason are null until the step is done, then empty or the reason why the file is left out.
# `told` is the header's reason before a person decided. sighting is the number of the run that last saw the file.
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS decisions (image_id TEXT PRIMARY KEY, used INTEGER);
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, file_id TEXT, bytes INTEGER, modified_ns INTEGER, sighting INTEGER,
    header_reason TEXT, told TEXT, pixel_reason TEXT, detail TEXT DEFAULT '', label TEXT DEFAULT '',
    pixel_note TEXT DEFAULT '',
    {", ".join(f"{name} TEXT DEFAULT ''" for name in FACTS)},
    {", ".join(f"key_{kind} TEXT DEFAULT ''" for kind in KEY_KINDS)},
    {", ".join(f"said_{name} TEXT DEFAULT ''" for name in FIELDS)}
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS images ON files (image_id, path);
"""
# What became of each file: a copy is one whose image was made from another file.
OUTCOMES = f"""
SELECT file_id, path, label, {", ".join(FACTS)}, {", ".join(f"said_{name}" for name in FIELDS)}, detail, pixel_note,
CASE
    WHEN header_reason != '' THEN header_reason
    WHEN patient_id = '' AND (label != '' OR key_image_uid != '') THEN '{NO_ID}'
    WHEN label = '' THEN '{UNLABELLED}'
    WHEN label = '{UNCERTAIN}' THEN '{UNCERTAIN_LABEL}'
    WHEN pixel_reason IS NULL THEN '{DUPLICATE}'
    ELSE pixel_reason END AS reason
FROM files
"""


class Sighting(NamedTuple):
    """A file as the walk through the source found it; with a `reason` it is not opened."""

    path: bytes
    bytes: int
    modified_ns: int
    reason: str


class Journal:
    """One import's files; every change is on disk before the next one begins."""

    def __init__(self, file: Path, settings: str) -> None:
        """Open or make the journal; one that was made with other settings starts afresh."""
        make_private_folder(file.parent)
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(file, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            # In this mode a killed process loses nothing; a power cut may lose the last changes, which are then redone.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(SCHEMA)
            if self.fact("settings") != settings:
                self._database.executescript(f"DROP TABLE files; {SCHEMA}")
                self.remember("settings", settings)
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{file}: can't be used: {error}; remove it to import afresh") from None

    def close(self) -> None:
        self._database.close()

    def fact(self, name: str) -> str:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def remember(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget_files(self) -> None:
        self._database.execute("DELETE FROM files")

    def see(self, sightings: Iterable[Sighting], file_id) -> None:
        """Note what lies in the source now: a changed file starts afresh, one that has gone is forgotten."""
        run = int(self.fact("run") or 0) + 1
        self._database.execute("BEGIN")
        for path, size, modified, reason in sightings:
            same = self._database.execute(
                "UPDATE files SET sighting = ? WHERE path = ? AND bytes = ? AND modified_ns = ? "
                "AND (header_reason IS ? OR ? = '')",
                (run, path, size, modified, reason, reason),
            ).rowcount
            if not same:
                self._database.execute(
                    "INSERT OR REPLACE INTO files (path, file_id, bytes, modified_ns, sighting, header_reason) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (path, file_id(path), size, modified, run, reason or None),
                )
        self._database.execute("DELETE FROM files WHERE sighting != ?", (run,))
        self._database.execute("COMMIT")
        self.remember("run", str(run))

    def without_header(self) -> Iterator[bytes]:
        """Files whose header was not read yet."""
        return self._paths("header_reason IS NULL")

    def note_header(self, path: bytes, header: Header) -> None:
        facts = {name: getattr(header, name) for name in FACTS}
        facts |= {f"key_{kind}": header.keys.get(kind, "") for kind in KEY_KINDS}
        facts |= {f"said_{name}": header.said.get(name, "") for name in FIELDS}
        self._database.execute(
            f"UPDATE files SET header_reason = ?, told = ?, detail = ?, {', '.join(f'{name} = ?' for name in facts)} "
            "WHERE path = ?",
            (header.reason, header.reason, header.detail, *facts.values(), path),
        )

    def rule(self, rules: Rules | None) -> Rules:
        """Keep a person's rules, or give those that were kept; headers that were read by others are read again."""
        kept = self.fact("rules") or "[]"
        said = kept if rules is None else json.dumps(sorted([*what, used] for what, used in rules.decided.items()))
        if said != kept:
            self._database.execute("UPDATE files SET header_reason = NULL WHERE told IS NOT NULL")
            self.remember("rules", said)
        return Rules({(name, value): used for name, value, used in json.loads(said)})

    def decide(self, decisions: Mapping[str, bool | None]) -> None:
        """Keep a person's decisions, {image id: whether it is used}, and apply them with all that were kept before.

        None takes a decision back.

        A person may leave out any film, and use one that the header's words leave out for its view or part.
        """
        self._database.execute("BEGIN")
        for image, used in decisions.items():
            self._database.execute("DELETE FROM decisions WHERE image_id = ?", (image,))
            if used is not None:
                self._database.execute("INSERT INTO decisions VALUES (?, ?)", (image, used))
        decided = "image_id IN (SELECT image_id FROM decisions WHERE used = ?)"
        judged = ", ".join(f"'{reason.replace(chr(39), 2 * chr(39))}'" for reason in JUDGED)
        self._database.execute("UPDATE files SET header_reason = told WHERE told IS NOT NULL")
        self._database.execute(f"UPDATE files SET header_reason = '' WHERE told IN ({judged}) AND {decided}", (1,))
        self._database.execute(
            f"UPDATE files SET header_reason = ? WHERE header_reason = '' AND {decided}", (REJECTED, 0)
        )
        self._database.execute("COMMIT")

    def unclear(self) -> list[tuple[bytes, str, str, str]]:
        """(path, image id, turn, reason) of one file of each labelled image that a person should tell, by image id."""
        return sorted(self._left_out_for(UNCLEAR, self.count(), f"AND {LABELLED}"), key=lambda row: row[1])

    def left_out(self, each: int) -> list[tuple[bytes, str, str, str]]:
        """(path, image id, turn, reason) of `each` films of every reason that words decide, as a sample to look at."""
        return self._left_out_for([reason for reason in JUDGED if reason not in UNCLEAR], each)

    def _left_out_for(self, reasons: Sequence[str], each: int, more: str = "") -> list[tuple[bytes, str, str, str]]:
        query = (
            "SELECT path, image_id, turn, header_reason FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY header_reason "
            "ORDER BY image_id) AS place FROM (SELECT MIN(path) AS path, image_id, turn, header_reason FROM files "
            f"WHERE header_reason IN ({', '.join('?' * len(reasons))}) {more} GROUP BY image_id)) WHERE place <= ? "
            "ORDER BY header_reason, image_id"
        )
        return [(bytes(row[0]), *row[1:]) for row in self._database.execute(query, (*reasons, each))]

    def decided(self) -> dict[str, bool]:
        """What a person decided, {image id: whether it is used}."""
        return {image: bool(used) for image, used in self._database.execute("SELECT image_id, used FROM decisions")}

    def keyed(self) -> Iterator[tuple[bytes, bool, dict[str, str]]]:
        """(path, whether it may be used, pseudonyms by which its label may be found) of files with ids."""
        for path in self._paths("key_file != ''"):
            row = self._database.execute("SELECT * FROM files WHERE path = ?", (path,)).fetchone()
            keys = {kind: row[f"key_{kind}"] for kind in KEY_KINDS if row[f"key_{kind}"]}
            yield path, row["header_reason"] in ("", *UNCLEAR), keys

    def note_labels(self, labels: Iterable[tuple[bytes, str, str]]) -> None:
        """(path, label, patient) of each film; the patient may come from the label's row."""
        self._database.execute("BEGIN")
        for path, label, patient in labels:
            self._database.execute(
                "UPDATE files SET label = ?, patient_id = CASE ? WHEN '' THEN key_patient_id ELSE ? END WHERE path = ?",
                (label, patient, patient, path),
            )
        self._database.execute("COMMIT")

    def undecoded(self) -> Iterator[tuple[bytes, str, str]]:
        """(path, image_id, turn) of the first untried file of each image that has none yet; ask again until none is."""
        last = ""
        while True:
            rows = self._database.execute(
                f"SELECT MIN(path), image_id, turn FROM files WHERE header_reason = '' AND {LABELLED} AND image_id > ? "
                "AND pixel_reason IS NULL AND NOT EXISTS (SELECT 1 FROM files AS other WHERE other.image_id = "
                "files.image_id AND other.pixel_reason = '' AND other.label IN ('negative', 'positive')) "
                "GROUP BY image_id ORDER BY image_id LIMIT ?",
                (last, ROWS_AT_A_TIME),
            ).fetchall()
            if not rows:
                return
            yield from ((bytes(row[0]), row[1], row[2]) for row in rows)
            last = rows[-1][1]

    def note_pixels(self, path: bytes, reason: str | None, detail: str = "", note: str = "") -> None:
        """`reason` is empty for a film that was written; None means that it is to be tried again.

        An image has one file: if it was made from another one before, that one is a copy now.
        """
        self._database.execute("BEGIN")
        if reason == "":
            self._database.execute(
                "UPDATE files SET pixel_reason = NULL WHERE pixel_reason = '' AND image_id = "
                "(SELECT image_id FROM files WHERE path = ?)",
                (path,),
            )
        self._database.execute(
            "UPDATE files SET pixel_reason = ?, detail = ?, pixel_note = ? WHERE path = ?", (reason, detail, note, path)
        )
        self._database.execute("COMMIT")

    def drawn(self) -> Iterator[tuple[bytes, str]]:
        """(path, image_id) of files whose picture was written, labelled or not."""
        for path in self._paths("pixel_reason = ''"):
            yield path, self._database.execute("SELECT image_id FROM files WHERE path = ?", (path,)).fetchone()[0]

    def used(self) -> Iterator[sqlite3.Row]:
        """The films of the data set, by image id."""
        return iter(self._database.execute(f"SELECT * FROM ({OUTCOMES}) WHERE reason = '' ORDER BY image_id"))

    def outcomes(self) -> Iterator[sqlite3.Row]:
        """Every file, by its pseudonym, so that their order tells nothing."""
        return iter(self._database.execute(f"{OUTCOMES} ORDER BY file_id"))

    def reasons(self) -> dict[str, int]:
        """How many files were left out, for each reason, the commonest first."""
        return dict(
            tuple(row)
            for row in self._database.execute(
                f"SELECT reason, COUNT(*) FROM ({OUTCOMES}) WHERE reason != '' GROUP BY reason ORDER BY 2 DESC, 1"
            )
        )

    def values(self, name: str) -> list[tuple[str, str, int]]:
        """(value, reason or empty, files) of one of the header's `FIELDS`, of files that have a header."""
        query = f"SELECT said_{name}, reason, COUNT(*) FROM ({OUTCOMES}) WHERE said_modality != '' OR image_id != '' "
        return [tuple(row) for row in self._database.execute(f"{query} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2")]

    def count(self, what: str = "*") -> int:
        """Files; or distinct values of a column among the films used."""
        if what == "*":
            return self._database.execute("SELECT COUNT(*) FROM files").fetchone()[0]
        query = f"SELECT COUNT(DISTINCT {what}) FROM ({OUTCOMES}) WHERE reason = ''"
        return self._database.execute(query).fetchone()[0]

    def _paths(self, condition: str) -> Iterator[bytes]:
        """Paths in order, some at a time, so that rows may change while they are gone through."""
        last = b""
        while True:
            rows = self._database.execute(
                f"SELECT path FROM files WHERE {condition} AND path > ? ORDER BY path LIMIT ?", (last, ROWS_AT_A_TIME)
            ).fetchall()
            if not rows:
                return
            yield from (bytes(row[0]) for row in rows)
            last = bytes(rows[-1][0])
