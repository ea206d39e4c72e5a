"""DICOM films for tests: made from an array, with a header that a hospital's would have, canaries included."""

import csv
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxrlib.files import atomic_path
from cxrlib.intake import dicom
from cxrlib.intake.pixels import convert_file
from cxrlib.intake.source import Source

CR_CLASS = "1.2.840.10008.5.1.4.1.1.1"


def film(pixels: np.ndarray, bits: int | None = None, **attributes: Any) -> Dataset:
    """A CR chest film of 8- or 16-bit pixels; `attributes` replace what the header has, None removes it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CR_CLASS
    uid = attributes.get("SOPInstanceUID") or generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    allocated = 8 * pixels.dtype.itemsize
    header = {
        "SOPClassUID": CR_CLASS, "SOPInstanceUID": uid, "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(), "AccessionNumber": "ACC1", "PatientID": "P1",
        "PatientName": "Canary^Carla", "PatientSex": "F", "PatientAge": "063Y", "StudyDate": "20200317",
        "Modality": "CR", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1, "Rows": pixels.shape[0], "Columns": pixels.shape[1], "BitsAllocated": allocated,
        "BitsStored": bits or allocated, "HighBit": (bits or allocated) - 1,
        "PixelRepresentation": int(np.issubdtype(pixels.dtype, np.signedinteger)),
    }  # fmt: skip
    for name, value in {**header, **attributes}.items():
        if value is not None:
            setattr(dataset, name, value)
    little = pixels.astype(pixels.dtype.newbyteorder("<"))
    dataset.PixelData = little.tobytes() + b"\0" * (little.nbytes % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def ramp(
    rows: int = 60, columns: int = 80, lowest: int = 0, highest: int = 4095, dtype: type = np.uint16
) -> np.ndarray:
    """Values rising from left to right, the same in every row."""
    return np.tile(np.rint(np.linspace(lowest, highest, columns)).astype(dtype), (rows, 1))


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    """The film in another transfer syntax, encoded by GDCM; `syntax` is one of its names, e.g. JPEGLSLossless."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        before, after = f"{folder}/before", f"{folder}/after"
        dataset.save_as(before, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(before)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(after)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return pydicom.dcmread(after)


def convert_or_crash(item: tuple[bytes, Path, str], source: Source) -> tuple[str, str, str]:
    """Stands for a decoder with bugs: a file named so crashes it, hangs it, or kills it while it writes."""
    path, picture, _ = item
    if b"crash" in path:
        os.abort()
    if b"hang" in path:
        time.sleep(600)
    if b"torn" in path:
        with atomic_path(picture) as temporary:
            temporary.write_bytes(b"\x89PNG")
            os.kill(os.getpid(), signal.SIGKILL)
    return convert_file(item, source)


class Hospital:
    """A source, a table of labels, a key and a place for the output, under one folder."""

    def __init__(self, folder: Path) -> None:
        self.source, self.out, self.labels = folder / "export", folder / "films", folder / "labels.csv"
        self.key = folder / "private" / "secret.key"
        self.source.mkdir(parents=True)
        self.write_labels("patient_id,label", "P1,positive")

    def write_labels(self, *lines: str) -> None:
        self.labels.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def add(self, name: str, dataset: Dataset | None = None, **attributes) -> Path:
        return save(dataset or film(ramp(), bits=12, **attributes), self.source / name)

    def run(self, **options) -> dicom.Imported:
        return dicom.import_dicom(self.source, self.labels, self.out, key_file=self.key, **options)

    def table(self, name: str) -> list[dict[str, str]]:
        with open(self.out / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def private_table(self) -> dict[str, dict[str, str]]:
        """What became of each file, by its name in the source."""
        (place,) = self.key.parent.glob("secret.key.imports/*/files.csv")
        with open(place, newline="", encoding="utf-8", errors="surrogateescape") as file:
            return {row["file"]: row for row in csv.DictReader(file)}

    def content(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
