"""Files that mean harm, or might: each has a clear outcome, none hangs, and nothing outside the data folder is read.

The time limits are those of a hang, far above what each test takes.
"""

import io
import os
import socket
import struct
import zipfile
import zlib

import numpy as np
import openpyxl
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films import containment, preparation
from cxrlib.films.containment import Refused, open_inside
from cxrlib.films.decoding import UnreadableImage, decode
from cxrlib.films.folder import read_folder
from cxrlib.films.label_table import read_label_table
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import FolderSource
from cxrlib.study import load_study

pytestmark = pytest.mark.timeout(60)
HEADER = "file,patient_id,label\n"


@pytest.fixture
def films(tmp_path):
    """A folder of eight good films, four of each label, listed in `labels.csv`."""
    folder = tmp_path / "films"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    for number in range(8):
        Image.fromarray(random.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,p{number},{('negative', 'positive')[number % 2]}\n")
    (folder / "labels.csv").write_text(HEADER + "".join(rows))
    return folder


@pytest.fixture
def prepare(films, write_tiny_study):
    """`prepare()` prepares the films as a validation set and returns {file: reason} of those left out."""

    def run():
        study = load_study(write_tiny_study(data={"validation": {"reader": "folder", "folder": str(films)}}))
        record = prepare_role(study, "validation")
        return {problem["file"]: problem["reason"] for problem in record["unreadable"]}

    return run


def png(width, height, rows, depth=8, colour=0):
    """A PNG of raw rows, each with its filter byte."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def list_also(films, *names):
    with (films / "labels.csv").open("a") as table:
        table.writelines(f"{name},extra{number},positive\n" for number, name in enumerate(names))


def test_things_that_are_no_files_are_named_and_never_opened(films, prepare):
    (films / "folder.png").mkdir()
    os.mkfifo(films / "pipe.png")
    (films / "device.png").symlink_to("/dev/zero")
    (films / "circle.png").symlink_to(films / "circle.png")
    # Addresses of sockets are short: from inside the folder, this one is.
    here = os.open(".", os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(films)
        listener.bind("socket.png")
    finally:
        os.fchdir(here)
        os.close(here)
        listener.close()
    names = ["folder.png", "pipe.png", "device.png", "circle.png", "socket.png", "x" * 300 + ".png", "a/b\\..\\c.png"]
    list_also(films, *names)
    reasons = prepare()
    assert reasons["folder.png"] == reasons["pipe.png"] == reasons["socket.png"] == "not a file"
    assert reasons["device.png"] == "refused: a link that leads out of the data folder"
    assert reasons["circle.png"].startswith("can't be opened")
    assert "name too long" in reasons["x" * 300 + ".png"]
    assert len(reasons) == len(names)


def test_a_film_exchanged_for_a_link_after_it_was_listed_is_not_read(films, tmp_path, write_tiny_study, monkeypatch):
    secret = tmp_path / "secret.png"
    Image.new("L", (40, 40), 255).save(secret)
    study = load_study(write_tiny_study(data={"validation": {"reader": "folder", "folder": str(films)}}))
    read_it = preparation.read_films

    def exchange_and_read(*arguments, **options):
        (films / "3.png").unlink()
        (films / "3.png").symlink_to(secret)
        return read_it(*arguments, **options)

    monkeypatch.setattr(preparation, "read_films", exchange_and_read)
    record = prepare_role(study, "validation")
    assert record["unreadable"] == [{"file": "3.png", "reason": "refused: a link that leads out of the data folder"}]
    assert not (np.load(study.results.images("validation", 32)) == 255).all(axis=(1, 2)).any()


def test_a_file_exchanged_for_a_pipe_before_it_is_opened_does_not_hang(films, monkeypatch):
    checked = []

    def exchange_after_the_first_check(found):
        if not checked:
            (films / "3.png").unlink()
            os.mkfifo(films / "3.png")
        checked.append(found)
        if len(checked) > 1:
            return whole_check(found)

    whole_check = containment._check
    monkeypatch.setattr(containment, "_check", exchange_after_the_first_check)
    with pytest.raises(Refused, match="not a file"):
        open_inside(films, "3.png")


def test_bombs_are_refused_before_they_are_unpacked(films, prepare):
    (films / "wide.png").write_bytes(png(20_001, 1, bytes(20_002)))
    (films / "huge.png").write_bytes(png(20_000, 20_000, b""))
    (films / "endless.png").write_bytes(png(2**31 - 1, 2**31 - 1, b""))
    (films / "large.png").write_bytes(png(9_500, 9_400, b""))
    with open(films / "sparse.png", "wb") as file:
        file.truncate(containment.MAXIMUM_FILM_BYTES + 1)
    list_also(films, "wide.png", "huge.png", "endless.png", "large.png", "sparse.png")
    reasons = prepare()
    assert reasons["wide.png"] == "too large: 20001 x 1 pixels; at most 20,000 a side"
    assert reasons["huge.png"].startswith("too large")
    assert reasons["endless.png"].startswith("too large")
    assert reasons["large.png"] == "too large: more than 89,000,000 pixels"
    assert reasons["sparse.png"] == "too large: 400,000,001 bytes; at most 400,000,000"


def test_text_chunks_that_unpack_to_gigabytes_are_refused(tmp_path):
    film = io.BytesIO()
    Image.new("L", (30, 30)).save(film, "PNG")
    content = b"note\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    whole = film.getvalue()
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(io.BytesIO(whole[:33] + chunk + whole[33:]), (32,))


def test_a_film_of_20_000_pixels_a_side_is_read(tmp_path):
    strip = np.tile(np.linspace(0, 255, 20_000).astype(np.uint8), (4_000, 1))
    Image.fromarray(strip).save(tmp_path / "strip.png", compress_level=1)
    (found,) = decode(tmp_path / "strip.png", (32,))
    assert np.abs(found[0].astype(int) - np.linspace(4, 251, 32)).max() <= 2


def test_a_large_film_of_16_bits_is_scaled_as_a_small_one(tmp_path):
    small = np.linspace(0, 4095, 50 * 60).astype(np.uint16).reshape(50, 60)
    large = np.kron(small, np.ones((60, 60), np.uint16))
    found = []
    for name, values in (("small.png", small), ("large.png", large)):
        Image.fromarray(values).save(tmp_path / name, compress_level=1)
        found.append(decode(tmp_path / name, (25,))[0].astype(int))
    assert large.size > 2 * 4_000_000
    assert np.abs(found[0] - found[1]).max() <= 3


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    film = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (1_000, 1_000), dtype=np.uint8)
    Image.fromarray(noise).save(film, "JPEG", progressive=True)
    content = film.getvalue()
    last = content.rindex(b"\xff\xda")
    scan = content[last : last + 2 + 8]
    hostile = content[:-2] + scan * 3_000 + content[-2:]
    with pytest.raises(UnreadableImage, match=r"too large: 3,\d+ scans of 1000 x 1000 pixels"):
        decode(io.BytesIO(hostile), (32,))
    assert decode(io.BytesIO(content), (32,))[0].shape == (32, 32)


def test_formats_that_start_programs_or_hold_no_films_are_not_opened(tmp_path):
    (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n%%EOF\n")
    Image.new("L", (30, 30)).save(tmp_path / "icon.png", "ICO")
    for name in ("program.png", "icon.png"):
        with pytest.raises(UnreadableImage, match="not an image file"):
            decode(tmp_path / name, (32,))


def folder_source(films, **settings):
    return FolderSource.model_validate({"reader": "folder", "folder": films, **settings})


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link out", "circle"])
def test_a_table_that_is_no_file_of_the_folder_is_refused(films, tmp_path, kind):
    table = films / "labels.csv"
    (tmp_path / "elsewhere.csv").write_bytes(table.read_bytes())
    table.unlink()
    make = {
        "folder": table.mkdir,
        "pipe": lambda: os.mkfifo(table),
        "device": lambda: table.symlink_to("/dev/zero"),
        "link out": lambda: table.symlink_to(tmp_path / "elsewhere.csv"),
        "circle": lambda: table.symlink_to(table),
    }
    make[kind]()
    with pytest.raises(InputError, match=r"labels\.csv: (not a file|refused: a link that leads out|can't be opened)"):
        read_folder(folder_source(films))


def test_tables_of_endless_bytes_rows_or_cells_are_refused(films, monkeypatch):
    with open(films / "labels.csv", "r+b") as file:
        file.truncate(containment.MAXIMUM_TABLE_BYTES + 1)
    with pytest.raises(InputError, match="too large: 100,000,001 bytes"):
        read_folder(folder_source(films))
    (films / "labels.csv").write_text(HEADER + "a,b,negative\n" * 1_000_001)
    with pytest.raises(InputError, match="more than 1,000,000 rows"):
        read_folder(folder_source(films))
    (films / "labels.csv").write_text(HEADER + "a,b," + "n" * 200_000)
    with pytest.raises(InputError, match="row 2: not valid CSV: field larger than field limit"):
        read_folder(folder_source(films))
    (films / "labels.csv").write_text(",".join(f"c{number}" for number in range(501)) + "\n1\n")
    with pytest.raises(InputError, match="501 columns; at most 500"):
        read_folder(folder_source(films))


def workbook_with(sheet_xml):
    """A workbook whose first sheet is this XML."""
    plain, changed = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.namelist():
            target.writestr(part, sheet_xml if part == "xl/worksheets/sheet1.xml" else source.read(part))
    return changed.getvalue()


def sheet_of(inner, before="", dimension="A1"):
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return (
        f'<?xml version="1.0"?>{before}<worksheet xmlns="{space}"><dimension ref="{dimension}"/>'
        f"<sheetData>{inner}</sheetData></worksheet>"
    )


def text_row(number, *cells):
    inner = "".join(
        f'<c r="{chr(65 + n)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>' for n, cell in enumerate(cells)
    )
    return f'<row r="{number}">{inner}</row>'


def test_a_workbook_that_lies_about_its_size_is_read_by_its_cells(films):
    inner = text_row(1, "file", "patient_id", "label") + text_row(900_000, "0.png", "p", "negative")
    (films / "labels.xlsx").write_bytes(workbook_with(sheet_of(inner, dimension="A1:XFD1048576")))
    table = read_label_table(films, "labels.xlsx")
    assert list(table.index) == [900_000]
    assert list(table["file"]) == ["0.png"]


def test_a_workbook_cannot_fetch_files_or_multiply_words(films, tmp_path):
    (tmp_path / "secret").write_text("SECRET")
    fetch = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    many = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    multiply = f'<!DOCTYPE x [<!ENTITY e0 "lol">{many}<!ENTITY e "&e11;">]>'
    for before in (fetch, multiply):
        content = workbook_with(sheet_of(text_row(1, "file", "&e;", "label"), before))
        (films / "labels.xlsx").write_bytes(content)
        with pytest.raises(InputError, match="not a readable Excel workbook") as caught:
            read_label_table(films, "labels.xlsx")
        assert "SECRET" not in str(caught.value)


def test_workbooks_that_unpack_to_gigabytes_or_claim_millions_of_cells_are_refused(films):
    spaces = sheet_of(" " * 100_000_001)
    (films / "labels.xlsx").write_bytes(workbook_with(spaces))
    assert (films / "labels.xlsx").stat().st_size < 1_000_000
    with pytest.raises(InputError, match=r"too large: unpacks to 100,\d+,\d+ bytes"):
        read_label_table(films, "labels.xlsx")
    wide = "".join(f'<row r="{number}"><c r="XFD{number}"><v>1</v></c></row>' for number in range(1, 3_000))
    (films / "labels.xlsx").write_bytes(workbook_with(sheet_of(wide)))
    with pytest.raises(InputError, match=r"more than 1,000,000 rows or 20,000,000 cells"):
        read_label_table(films, "labels.xlsx")


def test_names_are_one_file_however_they_are_spelt(films):
    for other in ("./0.png", ".//0.png"):
        (films / "labels.csv").write_text(f"{HEADER}0.png,p,positive\n{other},q,negative\n")
        with pytest.raises(InputError, match=r"row 3: `0\.png` is listed twice"):
            read_folder(folder_source(films))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x]\nb: [" + "*a, " * 13 + "]\n", r"found more than 12 aliases; write \*a out"),
        ("a: &a [*a]\n", r"nested without end"),
        ("name: x\nname: y\n", r"found the key `name` twice"),
        ("name: 2021-13-45\n", r"not valid YAML: month must be in"),
        ("seed: " + "9" * 5_000, r"not valid YAML: .*integer"),
        ("[" * 20_000, r"nested without end"),
        ("name: " + "x" * 100_001, r"more than 100,000 bytes"),
        ("2021-01-01: x\n", r"found the key datetime\.date\(2021, 1, 1\); put keys in quotation marks"),
        ("? [a, b]\n: c\n", r"not valid YAML: .*found unhashable key"),
        ('name: "\\ud800"\n', r"hostile\.yaml: "),
        ("\ufeff", r"found NoneType"),
    ],
)
def test_a_study_file_that_means_harm_is_refused(tmp_path, text, said):
    (tmp_path / "hostile.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_study(tmp_path / "hostile.yaml")


@pytest.mark.parametrize("name", ["pipe.yaml", "folder.yaml", "x" * 300 + ".yaml", "circle.yaml"])
def test_a_study_that_is_no_file_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "circle.yaml").symlink_to(tmp_path / "circle.yaml")
    with pytest.raises(InputError, match="no such study file"):
        load_study(tmp_path / name)
