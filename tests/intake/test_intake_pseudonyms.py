"""Pseudonyms and their key; and that nothing of a patient or of the source reaches what an import makes."""

import hashlib
import hmac
import os
import stat
import struct
import subprocess
import sys
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from dicom_films import film, ramp, save
from PIL import Image, ImageDraw, ImageFont
from pydicom.uid import generate_uid

from cxrlib.errors import InputError
from cxrlib.intake import borders
from cxrlib.intake.pseudonyms import Pseudonyms, default_key_file, load_pseudonyms

GOOD_KEY = "0123456789abcdef" * 4


def write_key(path: Path, text: str = GOOD_KEY, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_an_accent_spelt_apart_is_the_same_patient():
    pseudonyms = Pseudonyms(GOOD_KEY.encode())
    for name in ("Müller", "MÜLLER", "Žižka", "각"):
        whole, apart = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        assert whole != apart
        assert pseudonyms.of("patient_id", whole) == pseudonyms.of("patient_id", apart)
    assert pseudonyms.of("file", "Mu\u0308ller") != pseudonyms.of("file", "M\u00fcller")


def test_a_pseudonym_is_a_keyed_hash():
    message = b"patient_id\0" + b"p-17"
    expected = hmac.digest(GOOD_KEY.encode(), message, "sha256").hex()[:20]
    pseudonyms = Pseudonyms(GOOD_KEY.encode())
    assert pseudonyms.of("patient_id", "P-17") == expected
    assert pseudonyms.of("patient_id", " p-17\0") == expected
    assert pseudonyms.of("image_uid", "P-17") != expected
    assert Pseudonyms(GOOD_KEY[::-1].encode()).of("patient_id", "P-17") != expected
    assert expected not in hashlib.sha256(message).hexdigest()
    assert GOOD_KEY not in repr(pseudonyms)


def test_file_names_differ_by_capitals_and_spaces_and_need_not_be_text():
    pseudonyms = Pseudonyms(GOOD_KEY.encode())
    assert len({pseudonyms.of("file", name) for name in ("a", "A", "a ", os.fsdecode(b"\xff\xfe"))}) == 4


def test_the_key_is_made_on_first_use_for_its_owner_only_and_kept(tmp_path):
    key = tmp_path / "new" / "place" / "my.key"
    made = load_pseudonyms(key, outside=())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert len(key.read_text().strip()) == 64
    assert [path.name for path in key.parent.iterdir()] == ["my.key"]
    assert load_pseudonyms(key, outside=()) == made
    assert load_pseudonyms(tmp_path / "other.key", outside=()) != made


def test_commands_that_start_together_agree_on_one_key(tmp_path):
    with ProcessPoolExecutor(6, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(load_pseudonyms, [tmp_path / "k"] * 24, [()] * 24))
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "found a key of 0 characters"),
        ("short", 0o600, "found a key of 5 characters"),
        ("a" * 64, 0o600, "1 of them different"),
        (GOOD_KEY, 0o640, "others may read the key (mode 0640, expected 0600)"),
        (GOOD_KEY, 0o604, "others may read the key"),
    ],
)
def test_unfit_keys_are_refused(tmp_path, text, mode, said):
    with pytest.raises(InputError) as refused:
        load_pseudonyms(write_key(tmp_path / "key", text, mode), outside=())
    assert said in str(refused.value)
    assert GOOD_KEY not in str(refused.value)


def test_a_key_in_a_folder_that_is_read_or_passed_on_is_refused(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    (tmp_path / "link").symlink_to(films)
    for place in (films / "key", films / "deep" / "key", tmp_path / "link" / "key", films / ".." / "films" / "key"):
        with pytest.raises(InputError, match="the key lies inside"):
            load_pseudonyms(place, outside=(tmp_path / "export", films))
    assert not list(films.iterdir())
    with pytest.raises(InputError, match="not an ordinary file"):
        load_pseudonyms(films, outside=())


def test_the_default_key_lies_in_the_users_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "cxr" / "pseudonyms.key"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_key_file() == Path("/home/somebody/.config/cxr/pseudonyms.key")


def test_a_home_folder_that_can_t_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(InputError, match="the key can't be read or made"):
        load_pseudonyms(default_key_file(), outside=())


def test_an_account_without_a_home_has_to_name_its_key(monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(InputError, match="--key"):
        default_key_file()


CANARIES = {
    "PatientName": "Kanarienvogel^Klara", "PatientID": "PATCANARY77", "AccessionNumber": "ACCCANARY88",
    "PatientBirthDate": "19561103", "InstitutionName": "Canary General", "InstitutionAddress": "Canary Lane 5",
    "ReferringPhysicianName": "Canaryphysician", "StudyDescription": "studycanary", "SeriesDescription": "seriescanary",
    "StationName": "STACANARY", "PatientComments": "commentcanary", "StudyID": "SIDCANARY", "StudyDate": "20200317",
    "StudyTime": "101010.77", "DeviceSerialNumber": "SERCANARY", "OtherPatientIDs": "OTHERCANARY",
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A canary hospital imported by the command: (words that must not come out, output folder, what was printed)."""
    folder = tmp_path_factory.mktemp("import")
    source, out, words = folder / "srccanary", folder / "films", {"srccanary", "labelcanary", "fffcanary"}
    words |= {word for value in CANARIES.values() for word in value.split("^")}
    faults = [{}, {"ViewPosition": "LL"}, {"Modality": "MODCANARY"}, {"Rows": 90}, {"BurnedInAnnotation": "YES"},
              {"BodyPartExamined": "PARTCANARY"}, {"PhotometricInterpretation": "COLCANARY"}, {"PatientSex": "SEXC"},
              {"ViewPosition": "VIEWCANARY"}, {"ViewPosition": None, "PatientAge": None}]  # fmt: skip
    for number, fault in enumerate(faults):
        ids = {"SOPInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()}
        words |= set(ids.values()) | {str(value) for value in fault.values() if "CANARY" in str(value)}
        dataset = film(ramp(), bits=12, **{**CANARIES, **ids, **fault})
        dataset.add_new(0x00091010, "LO", "privatecanary")
        save(dataset, source / "dircanary" / f"fffcanary{number}.dcm")
    (source / "textcanary.txt").write_text("Klara was here")
    labels = folder / "labelcanary.csv"
    labels.write_text(
        "patient_id,accession_number,label,remark\nPATCANARY77,ACCCANARY88,positive,Klara\nX,Y,negative,\n"
    )
    command = ["import-dicom", source, "--labels", labels, "--out", out, "--key", folder / "private" / "k"]
    done = subprocess.run(
        [sys.executable, "-m", "cxrlib.cli", *map(str, command)], capture_output=True, text=True, check=True, timeout=60
    )
    return words | {"dircanary", "textcanary", "privatecanary", "Klara"}, out, done.stdout + done.stderr


def hiding_places(out: Path) -> dict[str, bytes]:
    """Names and bytes of everything in a folder, also as UTF-16 would hide them."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def found_words(words: set[str], text: bytes) -> list[str]:
    text = text.lower()
    return [w for w in words if any(w.lower().encode(code) in text for code in ("utf-8", "utf-16-le", "utf-16-be"))]


def test_no_canary_comes_out(exported):
    words, out, printed = exported
    places = hiding_places(out)
    assert {"labels.csv", "import.csv", "borders/borders-001.png"} < places.keys()
    assert "19561103" in words
    for name, content in places.items():
        assert not found_words(words, name.encode()), name
        assert not found_words(words, content), name
    assert found_words(words, b"the name is KLARA"), "the search itself works"
    assert not found_words(words - {"srccanary", "labelcanary"}, printed.encode())


def test_pictures_carry_pixels_only(exported):
    pictures = list(exported[1].rglob("*.png"))
    assert len([picture for picture in pictures if picture.parent.name == "images"]) == 3
    for path in pictures:
        assert set(chunks(path.read_bytes())) == {b"IHDR", b"IDAT", b"IEND"}
        with Image.open(path) as image:
            image.load()
            assert (image.mode, image.info) == ("L", {})


def chunks(png: bytes) -> list[bytes]:
    """The types of a PNG's chunks; nothing may follow the last."""
    place, kinds = 8, []
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kinds.append(png[place + 4 : place + 8])
        place += 12 + length
    assert (png[:4], place) == (b"\x89PNG", len(png))
    return kinds


def test_only_closed_vocabularies_and_pseudonyms_come_out(exported):
    out = exported[1]
    header, *rows = (line.split(",") for line in (out / "labels.csv").read_text().splitlines())
    assert header == ["file", "patient_id", "label", "view", "sex", "age", "year"]
    assert len(rows) == 3
    for file, patient, label, view, sex, age, year in rows:
        assert is_pseudonym(Path(file).stem)
        assert is_pseudonym(patient)
        assert (label, view in ("PA", ""), sex in ("F", ""), age, year) == ("positive", True, True, "63", "2020")
    for line in (out / "import.csv").read_text().splitlines()[1:]:
        file_id, image_id = line.split(",")[:2]
        assert is_pseudonym(file_id)
        assert image_id == "" or is_pseudonym(image_id)


def is_pseudonym(text: str) -> bool:
    return len(text) == 20 and set(text) <= set("0123456789abcdef")


def test_what_is_private_lies_beside_the_key_for_its_owner_only(exported):
    _, out, printed = exported
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    private = out.parent / "private"
    for path in private.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    (files,) = private.rglob("files.csv")
    assert "dircanary/fffcanary0.dcm" in files.read_text()
    assert str(files) in printed


@pytest.mark.parametrize(("background", "print_"), [(0, 30), (128, 150), (255, 225)])
def test_a_sheet_shows_every_border_under_its_pseudonym_and_no_other_text(tmp_path, monkeypatch, background, print_):
    """Letters that are hardly brighter or darker than what surrounds them stand out on all four sides."""
    picture = Image.new("L", (1024, 800), background)
    for place in ((480, 4), (480, 764), (4, 380), (964, 380)):
        ImageDraw.Draw(picture).text(place, "ABC", fill=print_, font=ImageFont.load_default(28))
    drawn = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, place, text, **how: (drawn.append(text), draw(self, place, text, **how)),
    )
    films = []
    for number in range(5):
        picture.save(tmp_path / f"{number}.png")
        films.append((f"{number:020d}", tmp_path / f"{number}.png"))
    borders.draw_sheet((tmp_path / "sheet.png", films, True))
    assert drawn == [name for name, _ in films]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1640, 860)
        for left, top in ((8, 26), (416, 26), (824, 26), (1232, 26), (8, 452)):
            tile = sheet.crop((left, top, left + 400, top + 312))
            for left, top in ((185, 0), (185, 296), (0, 146), (375, 146)):
                darkest, brightest = tile.crop((left, top, left + 25, top + 16)).getextrema()
                assert brightest - darkest >= 1.5 * abs(print_ - background)
            assert tile.getpixel((200, 156)) == round(0.35 * background)
