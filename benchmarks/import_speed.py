"""How long an import of DICOM films takes on all cores, its dry run before it, and how much memory it needs at most.

`python benchmarks/import_speed.py --films 16000` makes simulated twelve-bit films with different ids, and writes
benchmarks/results/import_speed.md. The claims: less than 3 GB, however large the export, and at least 0.85 of the
processor time that the machine's cores have in that time.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.intake.dicom import import_dicom
from cxrlib.intake.dry_run import dry_run
from cxrlib.reproducibility import available_cores

RESULTS = Path(__file__).resolve().parent / "results" / "import_speed.md"
DIFFERENT_FILMS, LATERAL_EVERY, LARGE_EVERY, LARGE_PX = 16, 10, 401, 3000
TARGET_GB, TARGET_SHARE = 3.0, 0.85
SECONDS_BETWEEN_LOOKS = 0.25
LIMITS = f"""\
Limits: small films are quick to decode, so that the disk is none of what is measured and the work around each film
counts for more than it does with a hospital's own; one in {LARGE_EVERY} has {LARGE_PX:,} × {LARGE_PX:,} pixels, for
the memory. There are {DIFFERENT_FILMS} different pictures. Processes are looked at every {SECONDS_BETWEEN_LOOKS} s, so
what one does in its last moments is missed. More of them than cores may be ready, so that `ran or waited` may be above
1."""


def make_export(folder: Path, count: int, pixels: int) -> None:
    """Films of a few phantoms under many ids, some lateral by their header, some large; and a table of labels."""
    source = PhantomSource(reader="phantom", scanner="hospital", negative_patients=8, positive_patients=8)
    rows = phantom_manifest(source, "hospital", 5).to_dict("records")[:DIFFERENT_FILMS]
    films = [16 * phantom_film(source, 5, row, pixels).image.astype("<u2") for row in rows]
    times = -(-LARGE_PX // pixels)
    large = np.kron(films[0], np.ones((times, times), "<u2"))[:LARGE_PX, :LARGE_PX]
    lines = ["patient_id,label"]
    for number in range(count):
        film = large if number % LARGE_EVERY == LARGE_EVERY - 1 else films[number % len(films)]
        place = folder / "export" / f"{number // 1000:02d}" / f"IM{number:05d}"
        place.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(place, described(film, number), enforce_file_format=True)
        lines.append(f"P{number:05d},{('negative', 'positive')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines))


def described(film: np.ndarray, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.PatientID, dataset.Modality, dataset.BodyPartExamined = f"P{number:05d}", "CR", "CHEST"
    dataset.ViewPosition = "LL" if number % LATERAL_EVERY == 0 else "PA"
    dataset.Rows, dataset.Columns = film.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelData = film.tobytes()
    return dataset


class Taken(NamedTuple):
    """So far: seconds by the clock, those that this process and its workers ran, and ran or waited for a core."""

    clock: float
    ran: float
    wanted: float


class Watch(threading.Thread):
    """Looks at this process and its workers: the most memory that they had together (shared pages counted once)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_bytes = 0
        self._seconds: dict[int, tuple[float, float]] = {}

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def look(self) -> Taken:
        used, own = 0, psutil.Process()
        for process in (own, *own.children(recursive=True)):
            try:
                ran, waited, _ = map(int, Path(f"/proc/{process.pid}/schedstat").read_text().split())
                self._seconds[process.pid] = ran / 1e9, (ran + waited) / 1e9
                used += process.memory_full_info().pss
            except (psutil.Error, OSError):
                continue
        self.most_bytes = max(self.most_bytes, used)
        ran, wanted = np.sum(list(self._seconds.copy().values()), axis=0)
        return Taken(time.monotonic(), ran, wanted)


def row_of(name: str, films: int, before: Taken, after: Taken) -> str:
    seconds = after.clock - before.clock
    whole = seconds * available_cores()
    ran, wanted = (after.ran - before.ran) / whole, (after.wanted - before.wanted) / whole
    return f"| {name} | {seconds:,.0f} | {films / seconds:,.0f} | {ran:.2f} | {wanted:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=16_000)
    parser.add_argument("--pixels", type=int, default=192)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_export(folder, asked.films, asked.pixels)
        export, labels, films = folder / "export", folder / "labels.csv", folder / "films"
        key = {"key_file": folder / "private" / "key"}
        watch = Watch()
        watch.start()
        load = os.getloadavg()[0]
        moments = [watch.look()]
        dry_run(export, labels)
        moments.append(watch.look())
        imported = import_dicom(export, labels, films, **key)
        moments.append(watch.look())
        again = import_dicom(export, labels, films, **key)
        moments.append(watch.look())
    frontal = asked.films - -(-asked.films // LATERAL_EVERY)
    if not imported.used == again.used == frontal:
        raise SystemExit(f"used {imported.used} and {again.used} films, expected {frontal}")
    steps = zip(("dry run", "import", "import, once more"), moments[:-1], moments[1:], strict=True)
    rows = "\n".join(row_of(name, asked.films, before, after) for name, before, after in steps)
    text = f"""\
# How fast an export is imported

{asked.films:,} simulated films of {asked.pixels} × {asked.pixels} pixels and 12 bits, one in ten lateral, on
{available_cores()} cores, which {load:.1f} other processes wanted when it began.

| step | seconds | files a second | ran | ran or waited |
| :--- | ---: | ---: | ---: | ---: |
{rows}

- Most memory, workers included: {watch.most_bytes / 1e9:.2f} GB (goal: below {TARGET_GB:.0f}).
- `ran` is processor time, of the whole that the cores had in that time; `ran or waited` has also the time in which a
  process was ready and another program had the core. Goal for an import: {TARGET_SHARE}; where others want the cores
  too, in the latter.

{LIMITS}
"""
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
