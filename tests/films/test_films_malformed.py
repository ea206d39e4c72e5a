"""Malformed inputs by the thousand: each ends in a message or a listed skip, soon, with nothing half-written.

Good inputs are damaged as real ones are (cut, bits flipped, cells exchanged) and as an enemy would. Whatever else than
`InputError` comes out of a reader fails the test, since nothing here catches it.
"""

import io
import string
import zipfile
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import openpyxl
import pytest
import yaml
from conftest import TINY
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.covidx import read_covidx
from cxrlib.films.folder import read_folder
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import ROLES, CovidxSource, FolderSource
from cxrlib.study import load_study

LIMIT = timedelta(seconds=10)


def generated(examples):
    """So many examples, the same on every run, each within the time of a hang."""
    return settings(
        max_examples=examples,
        deadline=LIMIT,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


CELLS = st.one_of(
    st.sampled_from(["", "a.png", "b.png", "../a.png", "/etc/passwd", "positive", "negative", "Positiv", "71", "71,5",
                     "-1", "1e999", "nan", "F", "männlich", "masks", ".", "..", "a.png/", "C:\\a.png", "~", "\ufeff"]),
    st.text(max_size=12),
)  # fmt: skip
NAMES = st.sampled_from(
    ["file", "patient_id", "label", "source", "finding", "view", "sex", "age", "lung_mask", "fold", "image_id",
     "location", "PatID", "Befund", "", "Label", " file "]
)  # fmt: skip
# Half of the inputs are damaged in their bytes; the others get as far as their cells and values are read.
DAMAGE = st.one_of(
    st.just([]),
    st.lists(
        st.tuples(st.sampled_from(["cut", "flip", "insert", "drop", "repeat"]), st.floats(0, 1), st.integers(0, 255)),
        max_size=4,
    ),
)


def damaged(content, damage):
    """Bytes after each piece of damage, at a place from 0 (the first byte) to 1 (the last)."""
    for kind, place, value in damage:
        at = int(place * len(content))
        content = {
            "cut": content[:at],
            "flip": content[:at] + bytes(byte ^ (1 << value % 8) for byte in content[at : at + 1]) + content[at + 1 :],
            "insert": content[:at] + bytes([value]) + content[at:],
            "drop": content[:at] + content[at + 1 + value :],
            "repeat": content[:at] + content[at : at + value] * 3 + content[at + value :],
        }[kind]
    return content


GOOD_ROWS = {
    "file": st.just("a.png"),
    "patient_id": st.text("pq01", min_size=1, max_size=2),
    "label": st.sampled_from(["positive", "negative", "POSITIVE"]),
    "age": st.sampled_from(["", "71", "7,5"]),
    "lung_mask": st.sampled_from(["", "b.png", "../b.png"]),
    "finding": st.text(max_size=5),
}


@st.composite
def tables(draw):
    """Header and rows: as a table of labels has them, with a cell or two exchanged, or anything at all."""
    if draw(st.integers(0, 3)) == 0:
        header = draw(st.lists(NAMES, max_size=8))
        return [header, *draw(st.lists(st.lists(CELLS, max_size=len(header) + 1), max_size=6))]
    header = ["file", "patient_id", "label", *draw(st.sets(st.sampled_from(["age", "lung_mask", "finding"])))]
    rows = [[draw(GOOD_ROWS[name]) for name in header] for _ in range(draw(st.integers(1, 3)))]
    for row, file in zip(rows, draw(st.permutations(["a.png", "b.png", "c.png", "../a.png", "masks"])), strict=False):
        row[0] = file
    for _ in range(draw(st.integers(0, 1))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
    return [header, *rows]


COLUMNS = st.one_of(
    st.just({}),
    st.just({}),
    st.just({"patient_id": "PatID", "label": "Befund"}),
    st.just({"age": "view", "view": "age"}),
)
WORDS = st.sampled_from([{}, {"positiv": "positive", "71": "negative"}])


@pytest.fixture
def clinic(tmp_path):
    folder = tmp_path / "clinic"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((20, 30), 100, np.uint8)).save(folder / name)
    (folder / "masks").mkdir()
    return folder


@contextmanager
def refusal_allowed(where):
    """The block may end in an `InputError`, which then has to say where; nothing else is caught."""
    try:
        yield []
    except InputError as refusal:
        event("refused")
        if where not in str(refusal):
            pytest.fail(f"does not say where: {refusal}")
    else:
        event("accepted")


def read_or_refuse(folder, **changes):
    """Read the folder; whatever is listed lies inside it."""
    source = FolderSource.model_validate({"reader": "folder", "folder": folder, **changes})
    with refusal_allowed(str(folder)) as outcome:
        outcome.append(read_folder(source))
    for listing in outcome:
        check_listing(listing)


def check_listing(listing):
    assert set(listing.manifest["file"]) <= {"a.png", "b.png"}
    assert set(listing.manifest["label"]) <= {"negative", "positive"}
    assert listing.expected == len(listing.manifest) + len(listing.unreadable)


@generated(350)
@given(
    table=tables(),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    damage=DAMAGE,
    columns=COLUMNS,
    labels=WORDS,
)
def test_damaged_csv_tables(clinic, table, separator, encoding, damage, columns, labels):
    text = "\n".join(separator.join(row) for row in table)
    (clinic / "labels.csv").write_bytes(damaged(text.encode(encoding, "replace"), damage))
    read_or_refuse(clinic, columns=columns, labels=labels)


@generated(100)
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_table(clinic, content):
    for name in ("labels.csv", "labels.xlsx"):
        (clinic / name).write_bytes(content)
        read_or_refuse(clinic, labels_file=name)


EXCEL_CELLS = st.one_of(
    CELLS.map(lambda cell: "".join(letter for letter in cell if letter.isprintable())),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.dates(),
    st.none(),
)


@generated(200)
@given(
    rows=st.lists(st.lists(EXCEL_CELLS, max_size=5), max_size=5),
    damage=DAMAGE,
    part=st.sampled_from([None, "sheet", "strings"]),
)
def test_damaged_workbooks(clinic, rows, damage, part):
    """Damage to the archive, or to the XML of one of its parts in a sound archive."""
    book = openpyxl.Workbook()
    for row in [["file", "patient_id", "label", "age"], *rows]:
        book.active.append([cell if not str(cell).startswith("=") else None for cell in row])
    whole = io.BytesIO()
    book.save(whole)
    content = whole.getvalue() if part else damaged(whole.getvalue(), damage)
    if part:
        name = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml"}[part]
        changed = io.BytesIO()
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(changed, "w") as target:
            for inner in source.namelist():
                raw = source.read(inner)
                target.writestr(inner, damaged(raw, damage) if inner == name else raw)
        content = changed.getvalue()
    (clinic / "labels.xlsx").write_bytes(content)
    read_or_refuse(clinic, labels_file="labels.xlsx")


@generated(200)
@given(
    lines=st.lists(
        st.one_of(
            st.lists(CELLS, min_size=1, max_size=6).map(" ".join),
            st.tuples(CELLS, st.sampled_from(["b.png", "../a.png", "x y.png"]), st.just("negative rsna")).map(" ".join),
        ),
        max_size=4,
    ),
    damage=DAMAGE,
    allow_missing=st.booleans(),
)
def test_damaged_covidx_lists(tmp_path, lines, damage, allow_missing):
    (tmp_path / "test").mkdir(exist_ok=True)
    text = "\n".join(["COVID 1 a.png positive sirm", *lines])
    (tmp_path / "test_COVIDx8B.txt").write_bytes(damaged(text.encode(), damage))
    values = {"reader": "covidx", "folder": tmp_path, "split": "test", "allow_missing": allow_missing}
    with refusal_allowed(str(tmp_path)):
        assert read_covidx(CovidxSource.model_validate(values)).manifest.empty


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.binary(max_size=5),
    st.text(string.printable, max_size=20),
    st.sampled_from(["${HOME}/x", "${", "${}", "folder", "covidx", "phantom", "none", "-1", "positive", "\0", "../x"]),
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from(sorted({key for value in TINY.values() if isinstance(value, dict) for key in value} | TINY.keys())),
    st.sampled_from(["reader", "folder", "columns", "labels", "file", "labels_file", "split", "publishable", "arms"]),
    st.one_of(st.text(max_size=6), st.integers(), st.booleans(), st.none()),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)
SOURCES = st.fixed_dictionaries(
    {"reader": st.sampled_from(["folder", "covidx", "phantom", "dicom"])},
    optional={
        "folder": st.just("films"),
        "columns": st.one_of(COLUMNS, VALUES),
        "labels": st.one_of(WORDS, VALUES),
        "split": st.just("test"),
        "labels_file": VALUES,
    },
)


@generated(350)
@given(
    changes=st.lists(
        st.one_of(
            st.tuples(st.tuples(st.just("data"), st.sampled_from(ROLES)), SOURCES),
            st.tuples(st.lists(KEYS, min_size=1, max_size=3), VALUES),
        ),
        max_size=3,
    ),
    damage=DAMAGE,
)
def test_damaged_study_files(tmp_path, changes, damage):
    values = yaml.safe_load(yaml.safe_dump(TINY))
    for path, value in changes:
        inner = values
        for key in path[:-1]:
            inner = inner[key] if isinstance(inner, dict) and isinstance(inner.get(key), dict) else inner
        inner[path[-1]] = value
    file = tmp_path / "tiny.yaml"
    file.write_bytes(damaged(yaml.safe_dump(values, allow_unicode=True).encode(), damage))
    with refusal_allowed(str(file)):
        assert load_study(file).name == "tiny"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@generated(100)
@given(text=st.one_of(st.text(max_size=200), st.text("[]{}:,-?*&!|>'\"%@ \nab01.", max_size=60)))
def test_any_text_as_a_study_file(tmp_path, text):
    file = tmp_path / "tiny.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(InputError, match=r"tiny\.yaml"):
        load_study(file)


def encoded(kind, mode, options):
    """A film of 48 x 40 pixels in a file format."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 10, 4), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    image = Image.fromarray(noise, "RGBA") if mode != "I;16" else Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    file = io.BytesIO()
    (image if mode in ("RGBA", "I;16") else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


FILMS = [
    encoded(*kind)
    for kind in [
        ("PNG", "L", {}), ("PNG", "I;16", {}), ("PNG", "P", {}), ("PNG", "RGBA", {}), ("PNG", "1", {}),
        ("JPEG", "L", {}), ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {}), ("TIFF", "I;16", {}),
        ("TIFF", "L", {"compression": "tiff_deflate"}), ("BMP", "RGB", {}), ("GIF", "P", {}), ("WEBP", "RGB", {}),
        ("PPM", "L", {}),
    ]
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@generated(60)
@given(
    films=st.lists(st.tuples(st.sampled_from(FILMS), DAMAGE, st.sampled_from(["png", "jpg"])), min_size=8, max_size=12)
)
def test_damaged_films_are_skipped_and_listed(tmp_path_factory, write_study_in, films):
    """Eight to twelve damaged films an example; four good ones let the role be prepared."""
    folder = tmp_path_factory.mktemp("films")
    clinic = folder / "clinic"
    clinic.mkdir()
    contents = {f"{n}.{suffix}": damaged(content, damage) for n, (content, damage, suffix) in enumerate(films)}
    contents |= {f"good{n}.png": FILMS[0] for n in range(4)}
    lines = ["file,patient_id,label"]
    for n, (name, content) in enumerate(contents.items()):
        (clinic / name).write_bytes(content)
        lines.append(f"{name},p{n},{('negative', 'positive')[n % 2]}")
    (clinic / "labels.csv").write_text("\n".join(lines))
    study = load_study(write_study_in(folder, data={"validation": {"reader": "folder", "folder": str(clinic)}}))
    record = prepare_role(study, "validation")
    skipped = {problem["file"] for problem in record["unreadable"]}
    images = np.load(study.results.images("validation", 32))
    assert skipped <= set(contents)
    assert len(skipped) + len(images) == len(contents) == record["files_expected"]
    assert not any(name.startswith("good") for name in skipped)
    assert sum(record["reasons"].values()) == len(skipped)
    left = {path.name for path in study.results.data("validation").iterdir()}
    assert left == {"audit.json", "manifest.csv", "images-32.npy"}
