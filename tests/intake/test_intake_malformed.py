"""Truncated and bit-flipped DICOM files: each ends as a picture or a reason, in time, and nothing is half-written."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from dicom_films import compressed, film, ramp, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cxrlib.intake import header, judgement
from cxrlib.intake.dicom import import_dicom

FILES_PER_IMPORT, IMPORTS = 60, 10
SYNTAXES = ("", "ImplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian", "RLELossless",
            "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless")  # fmt: skip
REASONS = {
    value for name, value in (vars(header) | vars(judgement)).items() if name.isupper() and isinstance(value, str)
}


@cache
def whole_file(syntax: str, number: int) -> bytes:
    """A small film in a transfer syntax, with most of what the import reads; each number is an image of its own."""
    generator = np.random.default_rng(3)
    pixels = (ramp(24, 32) // 2 + generator.integers(0, 2000, (24, 32))).astype(np.uint16)
    attributes = {"RescaleSlope": 2, "RescaleIntercept": -5, "WindowCenter": [900, 5], "WindowWidth": [4000, 7],
                  "PixelPaddingValue": 0, "PatientOrientation": ["L", "F"], "NumberOfFrames": "1",
                  "SOPInstanceUID": f"1.2.3.{number + 1}"}  # fmt: skip
    dataset = film(pixels, bits=12, **attributes)
    with tempfile.TemporaryDirectory() as folder:
        return save(compressed(dataset, syntax) if syntax else dataset, Path(folder) / "film").read_bytes()


@dataclass(frozen=True)
class Damage:
    """Where a file ends, as a share of its length, and which bits are turned (place as a share, bit)."""

    syntax: str
    kept: float
    flips: tuple[tuple[float, int], ...]

    def apply(self, number: int) -> bytes:
        content = bytearray(whole_file(self.syntax, number))
        for place, bit in self.flips:
            content[int(place * (len(content) - 1))] ^= 1 << bit
        return bytes(content[: int(self.kept * len(content))])


SHARES = st.floats(0, 1, allow_nan=False)
# Most of a file is pixels, and most of what can go wrong is in the header: half of the flips fall there.
PLACES = st.one_of(SHARES, st.floats(0, 0.4, allow_nan=False))
FLIPS = st.lists(st.tuples(PLACES, st.integers(0, 7)), min_size=1, max_size=12).map(tuple)
DAMAGES = st.one_of(
    st.builds(Damage, st.sampled_from(SYNTAXES), SHARES, st.just(())),
    st.builds(Damage, st.sampled_from(SYNTAXES), st.just(1.0), FLIPS),
)


@settings(max_examples=IMPORTS, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(DAMAGES, min_size=FILES_PER_IMPORT, max_size=FILES_PER_IMPORT))
def test_every_damaged_file_ends_in_a_picture_or_a_reason(damages):
    folder = Path(tempfile.mkdtemp(prefix="cxr-malformed-"))
    try:
        check_import(folder, damages)
    finally:
        shutil.rmtree(folder)


def check_import(folder: Path, damages: list[Damage]) -> None:
    (folder / "export").mkdir()
    for number, damage in enumerate(damages):
        (folder / "export" / f"{number:03d}").write_bytes(damage.apply(number))
    (folder / "labels.csv").write_text("patient_id,label\nP1,positive\n")
    started = time.monotonic()
    imported = import_dicom(
        folder / "export", folder / "labels.csv", folder / "films", key_file=folder / "key", seconds_per_file=10
    )
    assert time.monotonic() - started < 60
    assert imported.files == len(damages) == imported.used + sum(imported.skipped.values())
    assert imported.skipped.keys() <= REASONS
    assert header.SLOW not in imported.skipped
    pictures = list((folder / "films" / "images").iterdir())
    assert len(pictures) == imported.used
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    rows = (folder / "films" / "import.csv").read_text().splitlines()
    assert len(rows) == 1 + len(damages)


def test_the_undamaged_files_are_all_used(tmp_path):
    """Else the test above would pass with an import that refuses everything."""
    check_import(tmp_path, [Damage(syntax, 1.0, ()) for syntax in SYNTAXES])
    assert len(list((tmp_path / "films" / "images").iterdir())) == len(SYNTAXES)
