"""Decoding, resizing and image sets."""

import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.decoding import UnreadableImage, decode, decode_mask
from cxrlib.films.images import ImageSet, in_parallel, placed_array, resize_images


@pytest.fixture
def ramp():
    """A grey film of 120 x 100 pixels, dark left, bright right."""
    return np.tile(np.linspace(0, 250, 100).astype(np.uint8), (120, 1))


def test_a_grey_film_is_squashed_as_pil_does_it(tmp_path, ramp):
    path = tmp_path / "film.png"
    Image.fromarray(ramp).save(path)
    small, large = decode(path, (32, 64))
    plain = Image.open(path).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(large, np.asarray(plain))
    assert small.shape == (32, 32)
    assert small.dtype == np.uint8


def test_the_parallel_pass_gives_what_one_by_one_gives_in_order(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (90, 70), dtype=np.uint8)).save(path)
    together = list(in_parallel(lambda path: decode(path, (48,))[0], paths))
    plain = [np.asarray(Image.open(path).resize((48, 48), Image.Resampling.BILINEAR)) for path in paths]
    np.testing.assert_array_equal(together, plain)


def test_a_large_jpeg_keeps_its_look_when_decoded_at_a_smaller_scale(tmp_path):
    random = np.random.default_rng(1)
    film = Image.fromarray(random.integers(0, 255, (12, 12), dtype=np.uint8)).resize((1600, 1400), Image.BICUBIC)
    film.save(tmp_path / "film.jpg", quality=95)
    (found,) = decode(tmp_path / "film.jpg", (64,))
    plain = np.asarray(Image.open(tmp_path / "film.jpg").resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - plain).max() <= 3


def saved(tmp_path, image, name="film.png"):
    image.save(tmp_path / name)
    return decode(tmp_path / name, (100,))[0].astype(int)


def test_other_kinds_of_image_show_the_same_film(tmp_path, ramp):
    expected = np.asarray(Image.fromarray(ramp).resize((100, 100), Image.Resampling.BILINEAR)).astype(int)
    grey = Image.fromarray(ramp)
    deep = Image.fromarray(ramp.astype(np.uint16) * 257)
    twelve_bits = Image.fromarray((ramp.astype(np.float64) * 4095 / 255).round().astype(np.uint16))
    opaque = grey.convert("RGBA")
    found = {
        "16 bits": saved(tmp_path, deep),
        "12 of 16 bits": saved(tmp_path, twelve_bits),
        "palette": saved(tmp_path, grey.quantize(256)),
        "colour": saved(tmp_path, grey.convert("RGB")),
        "alpha": saved(tmp_path, opaque),
        "grey with alpha": saved(tmp_path, grey.convert("LA")),
        "CMYK": saved(tmp_path, grey.convert("RGB").convert("CMYK"), "film.jpg"),
        "one bit": saved(tmp_path, grey.point(lambda value: 255 * (value > 125)).convert("1")),
    }
    tolerances = {"palette": 4, "CMYK": 6, "one bit": 130}
    for kind, image in found.items():
        assert np.abs(image - expected).max() <= tolerances.get(kind, 2), kind


def half_transparent() -> dict[str, tuple[Image.Image, dict]]:
    """Films of 40 pixels whose right half is hidden, each in another way, and how they are saved."""
    colour = Image.new("RGBA", (40, 40), (200, 200, 200, 255))
    colour.paste((200, 200, 200, 60), (20, 0, 40, 40))
    two_greys = Image.new("L", (40, 40), 90)
    two_greys.paste(7, (20, 0, 40, 40))
    return {
        "RGBA": (colour, {}), "grey and alpha": (colour.convert("LA"), {}),
        "one colour": (two_greys.convert("RGB"), {"transparency": (7, 7, 7)}),
        "one grey": (two_greys, {"transparency": 7}),
        "one of 16 bits": (Image.fromarray(np.asarray(two_greys).astype(np.uint16)), {"transparency": 7}),
        "palette": (two_greys.convert("P"), {"transparency": 7}),
    }  # fmt: skip


@pytest.mark.parametrize("way", half_transparent())
def test_transparent_films_and_masks_are_left_out_with_a_reason(tmp_path, way):
    image, how = half_transparent()[way]
    image.save(tmp_path / "film.png", **how)
    for read in (decode, decode_mask):
        with pytest.raises(UnreadableImage, match=r"^transparent: 50 % of its pixels; save it without transparency"):
            read(tmp_path / "film.png", (20,))


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "not an image"), (b"no film", "not an image"), (None, "damaged|not an image")]
)
def test_damaged_files_are_named_with_a_reason(tmp_path, ramp, content, reason):
    path = tmp_path / "film.png"
    Image.fromarray(ramp).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(UnreadableImage, match=reason):
        decode(path, (32,))


def test_truncated_jpeg_and_endless_sides_are_refused(tmp_path):
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (200, 200), dtype=np.uint8)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:9000])
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(tmp_path / "cut.jpg", (32,))
    Image.new("L", (20_001, 2)).save(tmp_path / "long.png")
    with pytest.raises(UnreadableImage, match="20001 x 2 pixels; at most 20,000"):
        decode(tmp_path / "long.png", (32,))


def test_a_decompression_bomb_is_refused_without_a_warning(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")

    def reason(path):
        try:
            decode(path, (32,))
        except UnreadableImage as error:
            return str(error)
        return ""

    with warnings.catch_warnings(record=True) as caught:
        (found,) = in_parallel(reason, [tmp_path / "bomb.png"])
    assert "more than" in found
    assert not caught


def test_masks_become_zero_and_one(tmp_path):
    mask = np.zeros((80, 60), bool)
    mask[:40] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (found,) = decode_mask(tmp_path / "mask.png", (20,))
    assert found[:10].all()
    assert not found[10:].any()
    assert found.dtype == np.uint8


def test_an_array_grows_on_disk_and_appears_only_when_whole(tmp_path):
    path = tmp_path / "images.npy"
    items = np.random.default_rng(0).integers(0, 255, (13, 8, 8), dtype=np.uint8)
    with placed_array(path, (8, 8)) as array:
        for place in (*range(6, 13), *range(6)):
            array.put(place, items[place])
        array.keep(range(13))
        assert not path.exists()
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), items)
    assert [file.name for file in tmp_path.iterdir()] == ["images.npy"]
    with pytest.raises(ValueError, match="expected uint8"), placed_array(path, (8, 8)) as array:
        array.put(0, items[0].astype(np.float32))
    np.testing.assert_array_equal(np.load(path), items)


def test_image_sets_select_by_mask_and_by_index():
    manifest = pd.DataFrame({"image_id": list("abcd"), "label": ["negative", "positive", "positive", "negative"]})
    images = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 2, 2), np.uint8)
    films = ImageSet(manifest, images)
    assert films.labels.tolist() == [0, 1, 1, 0]
    assert films.labels.dtype == np.int64
    assert len(films) == 4
    positives = films.select(manifest["label"] == "positive")
    assert positives.manifest["image_id"].tolist() == ["b", "c"]
    assert positives.images[:, 0, 0].tolist() == [1, 2]
    assert films.select([3, 0]).manifest["image_id"].tolist() == ["d", "a"]
    assert len(films.select(np.zeros(4, bool))) == 0
    with pytest.raises(InputError, match="4 rows but 3 images"):
        ImageSet(manifest, images[:3])


def test_resizing_arrays_matches_pil():
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    found = resize_images(images, 40)
    plain = Image.fromarray(images[2]).resize((40, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[2], np.asarray(plain))
    assert found.shape == (3, 40, 40)
    assert found.dtype == np.uint8
