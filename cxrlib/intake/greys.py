"""From stored values to those that a film is shown with: modality table or rescaling, then tables and windows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cxrlib.intake.header import DAMAGED, Skipped

if TYPE_CHECKING:
    from pydicom import Dataset


def rescaled(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """What stored values become by the modality table or rescaling: float64."""
    tables = [table for table in dataset.get("ModalityLUTSequence") or [] if "LUTDescriptor" in table]
    if tables:
        return _look_up(stored, tables[0], dataset)
    slope, intercept = _first_number(dataset, "RescaleSlope"), _first_number(dataset, "RescaleIntercept")
    return stored * (slope or 1.0) + (intercept or 0.0)


def has_window(dataset: "Dataset") -> bool:
    """Whether the header says how grey values are to be shown."""
    return next(windowed(np.zeros(1), dataset), None) is not None


def windowed(values: np.ndarray, dataset: "Dataset") -> Iterator[np.ndarray]:
    """What rescaled values become by each VOI table, then by each window; a table without a descriptor is none."""
    for table in dataset.get("VOILUTSequence") or []:
        if "LUTDescriptor" in table:
            yield _look_up(values, table, dataset)
    centers, widths = (_numbers(dataset, name) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    for center, width in zip(centers, widths, strict=False):
        # A window without width, as some exports write it, counts as none.
        if width >= (1 if function == "LINEAR" else 1e-9):
            yield _window(values, center, width, function)


def _window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """A window, from 0 below it to 1 above (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3).

    Not pydicom's own function, whose result falls where it should rise if the rescale slope is negative.
    """
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _first_number(dataset: "Dataset", name: str) -> float | None:
    return next(iter(_numbers(dataset, name)), None)


def _numbers(dataset: "Dataset", name: str) -> list[float]:
    value = dataset.get(name)
    if value is None or value == "":
        return []
    return [float(number) for number in (value if dataset[name].VM > 1 else [value])]


def _look_up(values: np.ndarray, table: "Dataset", dataset: "Dataset") -> np.ndarray:
    """A modality or VOI table's entry for each value; values beyond its ends get its first or last entry.

    Not pydicom's own function, which in version 3.0 folds the index of a table with eight-bit entries at 256.
    """
    entries, first, bits = (int(number) for number in table.LUTDescriptor)
    entries = entries & 0xFFFF or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16
    data = table["LUTData"]
    if isinstance(data.value, bytes):
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        eight = len(data.value) < 2 * entries
        greys = np.frombuffer(data.value, np.uint8 if eight else "<u2" if little else ">u2")
    else:
        greys = np.atleast_1d(np.asarray(data.value, np.int64)) & 0xFFFF
    if len(greys) < entries or not 8 <= bits <= 16:
        raise Skipped(DAMAGED, f"a table of {len(greys)} entries of {bits} bits, expected {entries} of 8 to 16")
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, entries - 1)
    return greys[index].astype(np.float64)
