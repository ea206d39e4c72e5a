"""From stored values to greys, against formulas written down here and files that pydicom ships."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_films import compressed, film, ramp, save
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut, pixel_array
from pydicom.uid import HTJ2K, JPEGBaseline8Bit

from cxrlib.intake import pixels
from cxrlib.intake.header import Skipped
from cxrlib.intake.pixels import picture_of


@pytest.fixture
def show(tmp_path):
    """`show(dataset)` gives the picture of a film as an array."""
    return lambda dataset, **options: np.asarray(picture_of(save(dataset, tmp_path / "film.dcm"), **options))


def scaled(values: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Values between the percentiles 0.5 and 99.5 of those inside, as 0 to 255."""
    inside = np.ones(values.shape, bool) if inside is None else inside
    black, white = np.percentile(values[inside], [0.5, 99.5], method="inverted_cdf")
    return np.where(inside, np.rint(255 * np.clip((values - black) / (white - black), 0, 1)), 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("dtype", "bits", "highest"), [(np.uint8, 8, 255), (np.uint16, 12, 4095), (np.uint16, 16, 65535)]
)
def test_a_ramp_becomes_a_ramp_and_monochrome1_its_negative(show, dtype, bits, highest):
    pixels = ramp(highest=highest, dtype=dtype)
    expected = np.rint(255 * pixels[0].astype(float) / highest)
    bright = show(film(pixels, bits=bits))
    assert bright.dtype == np.uint8
    np.testing.assert_array_equal(bright, np.tile(expected, (60, 1)))
    dark = show(film(pixels, bits=bits, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(dark, 255.0 - bright, atol=1)


def test_the_darkest_and_brightest_half_percent_are_clipped(show):
    pixels = np.random.default_rng(1).normal(2000, 300, (200, 200)).clip(0, 4095).astype(np.uint16)
    pixels[0, :5], pixels[1, :5] = 0, 4095
    np.testing.assert_array_equal(show(film(pixels, bits=12)), scaled(pixels.astype(float)))


def test_signed_values(show):
    unsigned = show(film(ramp(lowest=0, highest=2000)))
    np.testing.assert_array_equal(show(film(ramp(lowest=-1000, highest=1000, dtype=np.int16))), unsigned)


def test_bits_that_are_not_stored_are_ignored_even_where_an_overlay_hides(show):
    pixels = ramp()
    plain = show(film(pixels, bits=12))
    marked = pixels.copy()
    marked[10:20, 10:30] |= 0x1000
    np.testing.assert_array_equal(show(film(marked, bits=12)), plain)
    short = (ramp(lowest=-2000, highest=2000, dtype=np.int16).view(np.uint16) & 0x0FFF).view(np.int16)
    np.testing.assert_array_equal(
        show(film(short, bits=12)), show(film(ramp(lowest=-2000, highest=2000, dtype=np.int16), bits=12))
    )


def test_a_window_counts_in_rescaled_units(show):
    pixels = ramp()
    window = {"WindowCenter": 1000.5, "WindowWidth": 2001, "RescaleSlope": 2, "RescaleIntercept": -1000}
    expected = np.rint(255 * np.clip((pixels * 2.0 - 1000) / 2000, 0, 1))
    np.testing.assert_allclose(show(film(pixels, bits=12, **window)), expected, atol=1)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": -2000, "WindowWidth": 3000}])
def test_a_negative_slope_turns_the_film_round(show, window):
    pixels = ramp()
    grey = show(film(pixels, bits=12, RescaleSlope=-1, RescaleIntercept=0, **window))
    assert (np.diff(grey[0].astype(int)) <= 0).all()
    assert (grey[0, 0], grey[0, -1]) == (255, 0)
    again = show(
        film(pixels, bits=12, RescaleSlope=-1, RescaleIntercept=0, PhotometricInterpretation="MONOCHROME1", **window)
    )
    np.testing.assert_allclose(again, 255.0 - grey, atol=1)


def test_exact_and_sigmoid_windows_and_the_first_of_several(show):
    pixels, centre, width = ramp(), 2000.0, 1000.0
    exact = np.clip((pixels - centre) / width + 0.5, 0, 1)
    sigmoid = 1 / (1 + np.exp(-4 * (pixels - centre) / width))
    window = {"WindowCenter": [centre, 50], "WindowWidth": [width, 20]}
    for function, expected in (("LINEAR_EXACT", exact), ("SIGMOID", sigmoid)):
        np.testing.assert_allclose(
            show(film(pixels, bits=12, VOILUTFunction=function, **window)), scaled(expected), atol=1
        )


@pytest.mark.parametrize("window", [{"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": 5, "WindowWidth": None}])
def test_a_window_without_width_counts_as_none(show, window):
    np.testing.assert_array_equal(show(film(ramp(), bits=12, **window)), show(film(ramp(), bits=12)))


def with_table(dataset: Dataset, name: str, greys: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(greys) % 2**16, first, bits])
    item.add_new("LUTData", "OW", greys.astype("<u2" if bits > 8 else np.uint8).tobytes())
    setattr(dataset, name, [item])
    return dataset


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_of_any_depth(show, name, bits):
    """A gamma curve of 3,000 entries from 500: eight-bit entries too are reached beyond the 256th."""
    pixels = ramp()
    greys = np.rint((2**bits - 1) * np.linspace(0, 1, 3000) ** 2)
    expected = scaled(greys[np.clip(pixels.astype(int) - 500, 0, 2999)])
    dataset = with_table(film(pixels, bits=12, WindowCenter=None), name, greys, 500, bits)
    np.testing.assert_array_equal(show(dataset), expected)


def test_a_table_comes_before_a_window_and_after_rescaling(show):
    pixels = ramp()
    greys = np.linspace(0, 65535, 4096)[::-1]
    dataset = film(pixels, bits=12, RescaleSlope=0.5, RescaleIntercept=0, WindowCenter=100, WindowWidth=10)
    expected = scaled(np.rint(greys).astype(np.uint16)[np.rint(pixels * 0.5).astype(int)].astype(float))
    np.testing.assert_allclose(show(with_table(dataset, "VOILUTSequence", greys, 0, 16)), expected, atol=1)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [(0, None), (4095, None), (4000, 4095), (4095, 4000)])
def test_padding_is_black_and_does_not_count(show, photometric, padding):
    """Collimated borders at an extreme would swallow a percentile and, in MONOCHROME1, turn white."""
    value, limit = padding
    pixels = ramp(lowest=1000, highest=3000)
    pixels[:, :10] = pixels[:5] = value
    pixels[:5, ::2] = value if limit is None else (value + limit) // 2
    inside = (pixels >= 1000) & (pixels <= 3000)
    dataset = film(
        pixels, bits=12, PhotometricInterpretation=photometric, PixelPaddingValue=value, PixelPaddingRangeLimit=limit
    )
    sign = -1.0 if photometric == "MONOCHROME1" else 1.0
    np.testing.assert_array_equal(show(dataset), scaled(sign * pixels, inside))


def test_padding_of_signed_pixels_written_as_unsigned(show):
    pixels = ramp(lowest=-500, highest=500, dtype=np.int16)
    pixels[:8] = -2048
    dataset = film(pixels)
    dataset.add_new("PixelPaddingValue", "US", 2**16 - 2048)
    np.testing.assert_array_equal(show(dataset), scaled(pixels.astype(float), pixels != -2048))


def test_depth_is_kept_until_the_resize(show):
    """Three columns of grey 100.4 and one of 101.4 are 101 on average; rounded first, they would be 100."""
    greys = np.tile([100.4, 100.4, 100.4, 101.4], (64, 16))
    greys[:8], greys[-8:] = 0, 255
    grey = show(film(np.rint(greys / 255 * 65535).astype(np.uint16)), long_side=16)
    assert grey.shape == (16, 16)
    assert set(grey[6]) == {101}


def test_the_long_side_is_bounded_and_nothing_is_enlarged(show):
    assert show(film(ramp(rows=900, columns=1500))).shape == (614, 1024)
    assert show(film(ramp(rows=90, columns=50))).shape == (90, 50)


@pytest.mark.parametrize(
    "syntax",
    [
        "ExplicitVRBigEndian", "ImplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian", "RLELossless",
        "JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)])
def test_lossless_compressions_change_nothing(show, syntax, dtype, bits):
    noise = np.random.default_rng(2).integers(0, 2**bits, (64, 48)).astype(dtype)
    noise[:20] = 2 ** (bits - 1)
    np.testing.assert_array_equal(show(compressed(film(noise, bits=bits), syntax)), show(film(noise, bits=bits)))


def test_jpeg_baseline(show):
    pixels = ramp(highest=255, dtype=np.uint8)
    dataset = film(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    np.testing.assert_allclose(show(dataset), show(film(pixels)), atol=3)


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
        "MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
        "examples_overlay.dcm",
    ],
)  # fmt: skip
def test_files_that_pydicom_ships(name):
    file = get_testdata_file(name, download=False)
    dataset = pydicom.dcmread(file)
    stored = pixel_array(dataset).astype(float)
    values = stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    padding = dataset.get("PixelPaddingValue")
    inside = np.ones(stored.shape, bool) if padding is None else stored != padding
    np.testing.assert_allclose(picture_of(file), scaled(apply_voi_lut(values, dataset), inside), atol=1)


def test_a_compression_without_a_decoder_is_named(show):
    dataset = film(ramp())
    dataset.PixelData = encapsulate([b"nothing that anybody reads"])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = HTJ2K
    with pytest.raises(Skipped, match="a compression that can't be read"):
        show(dataset)


def test_lossy_jpeg_of_twelve_bits_is_read():
    """Pixels of a file that pydicom ships, as DCMTK decodes them: (row, column, value)."""
    file = get_testdata_file("JPGExtended.dcm", download=False)
    assert picture_of(file).size == (256, 1024)
    stored, _ = pixels._stored_values(pydicom.dcmread(file), Path(file))
    assert (int(stored.min()), int(stored.max()), int(stored[0, 0])) == (0, 264, 1)


@pytest.mark.parametrize("process", [51, 53, 55])
def test_the_old_processes_of_lossy_jpeg_are_read(show, process):
    whole = ramp(highest=255, dtype=np.uint8)
    dataset, buffer = film(whole), io.BytesIO()
    Image.fromarray(whole).save(buffer, "JPEG", quality=95, progressive=process != 51)
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{process}"
    np.testing.assert_allclose(show(dataset), show(film(whole)), atol=3)


def test_values_in_the_upper_bits_are_brought_down(show):
    """HighBit 15 for twelve bits, true of one file and a mere word in another."""
    plain = show(film(ramp(), bits=12))
    np.testing.assert_array_equal(show(film(ramp() << 4, bits=12, HighBit=15)), plain)
    np.testing.assert_array_equal(show(film(ramp(), bits=12, HighBit=15)), plain)


def noted(dataset: Dataset, folder: Path) -> tuple[np.ndarray, str]:
    image, note = pixels.shown(save(dataset, folder / "film.dcm"))
    return np.asarray(image), note


def test_a_window_beside_the_data_gives_way_to_the_next_or_to_none(tmp_path):
    plain, note = noted(film(ramp(), bits=12), tmp_path)
    assert note == ""
    for window in ({"WindowCenter": -9000, "WindowWidth": 100}, {"WindowCenter": 100, "WindowWidth": 50}):
        picture, note = noted(film(ramp(), bits=12, **window), tmp_path)
        np.testing.assert_array_equal(picture, plain)
        assert note == pixels.OTHER_WINDOW
    both = {"WindowCenter": [-9000, 2048], "WindowWidth": [100, 4096]}
    assert noted(film(ramp(), bits=12, **both), tmp_path)[1] == pixels.OTHER_WINDOW
    picture, note = noted(film(ramp(), bits=12, RescaleSlope=0.0001, WindowCenter=2048, WindowWidth=4096), tmp_path)
    np.testing.assert_array_equal(picture, plain)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")])
def test_two_words_about_black_and_white_are_noted(tmp_path, photometric, shape):
    one, _ = noted(film(ramp(), bits=12, PhotometricInterpretation=photometric), tmp_path)
    two, note = noted(
        film(ramp(), bits=12, PhotometricInterpretation=photometric, PresentationLUTShape=shape), tmp_path
    )
    np.testing.assert_array_equal(one, two)
    assert note == pixels.TWO_GREYS


def test_bright_places_that_hold_the_padding_value_stay_bright(show):
    """In MONOCHROME1 zero is white; only the zeros that reach the border are padding."""
    greys = ramp(lowest=100, highest=3000)
    greys[:8] = 0
    greys[30:34, 20:26] = 0
    picture = show(film(greys, bits=12, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0))
    assert (picture[:8] == 0).all()
    assert (picture[30:34, 20:26] == 255).all()


def test_a_table_without_a_descriptor_is_none(show):
    dataset = film(ramp(), bits=12, WindowCenter=1000, WindowWidth=2000)
    expected = show(dataset)
    item = Dataset()
    item.LUTExplanation = "empty"
    dataset.VOILUTSequence = [item]
    np.testing.assert_array_equal(show(dataset), expected)


@pytest.mark.parametrize("missing", ["BitsAllocated", "BitsStored"])
def test_what_is_missing_is_said_in_plain_words(show, missing):
    dataset = film(ramp(), bits=12)
    delattr(dataset, missing)
    with pytest.raises(Skipped) as skipped:
        show(dataset)
    assert "an element that every image needs is missing" in skipped.value.detail
    assert "Error" not in skipped.value.detail


def test_a_file_without_the_preamble(tmp_path):
    dataset = film(ramp(), bits=12)
    whole, bare = save(dataset, tmp_path / "whole"), tmp_path / "bare"
    dataset.save_as(bare, implicit_vr=False, little_endian=True, enforce_file_format=False)
    bare.write_bytes(bare.read_bytes().split(b"DICM", 1)[-1])
    del dataset.file_meta
    dataset.save_as(tmp_path / "barest", implicit_vr=True, little_endian=True, enforce_file_format=False)
    for file in (bare, tmp_path / "barest"):
        np.testing.assert_array_equal(np.asarray(picture_of(file)), np.asarray(picture_of(whole)))
