"""DICOM films for tests: made from an array, with a header that a hospital's would have, canaries included."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

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
