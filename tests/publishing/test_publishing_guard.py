"""The guard: each hiding place of an id or a film is found; alike films and common words are not taken for them."""

import base64
import gzip
import io
import json
import unicodedata
import zipfile
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pydata_sphinx_theme
import pytest
from PIL import Image, PngImagePlugin

from cxrlib.chapters.exhibits import row_of_synthetic
from cxrlib.chapters.sheets import FilmRow, film_sheet
from cxrlib.errors import InputError
from cxrlib.files import read_json, write_csv, write_json, write_text
from cxrlib.films.decoding import decode
from cxrlib.films.manifest import read_manifest_csv
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.search.pictures import FilmIndex
from cxrlib.films.settings import PhantomSource
from cxrlib.publishing.guard import check_publishable, check_results, near_copies, private_findings
from cxrlib.publishing.guard_contents import pieces_of
from cxrlib.publishing.guard_names import Names
from cxrlib.study import load_study
from cxrlib.units import Unit

SIZE = 64
PATIENT, FILE = "Huber-Öztürk 4711", "ward7/röntgen_4711_a.png"


def patterns(count, seed=0, size=SIZE):
    """Films of nobody: blurred noise, uint8 (count, size, size), each its own."""
    random = np.random.default_rng(seed)
    grids = random.integers(0, 256, (count, 12, 12)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)) for grid in grids]
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """A study whose hospital is private, with films and ids as a preparation leaves them."""
    root = tmp_path_factory.mktemp("guard")
    columns = {"patient_id": "Fallnummer"}
    data = {"hospital": {"reader": "folder", "folder": str(root / "films"), "columns": columns}}
    made = load_study(write_study_in(root, data=data, gan={"resolution": SIZE}, classifier={"image_size": SIZE}))
    rows = [(FILE, FILE, PATIENT), ("1.png", "1.png", "7"), ("x/AB3.png", "x/AB3.png", "recall")]
    rows += [("y.png", "y.png", "88112233"), ("z.png", "z.png", "0005512345")]
    numbers = ("48392", "50118", "61220", "77013", "17", "23", "42", "58", "77")
    rows += [(f"{row}.png", f"{row}.png", name) for row, name in enumerate(("王伟", "김민준", *numbers), start=2)]
    manifest = pd.DataFrame(rows, columns=["image_id", "file", "patient_id"])
    empty = dict.fromkeys(("source", "view", "sex", "lung_mask", "fold"), "")
    manifest = manifest.assign(label="negative", age=np.nan, finding="", **empty)
    columns = (
        "image_id",
        "file",
        "patient_id",
        "label",
        "source",
        "finding",
        "view",
        "sex",
        "age",
        "lung_mask",
        "fold",
    )
    write_csv(made.results.manifest("hospital"), manifest[list(columns)])
    write_json(made.results.data_record("hospital"), {"unreadable": [{"file": "lost_88121.dcm", "reason": "damaged"}]})
    np.save(made.results.images("hospital", SIZE), patterns(3))
    return made


@pytest.fixture
def book(tmp_path):
    """A small clean book: pages with numbers, words and a picture, among them ids as short as a count."""
    html = tmp_path / "html"
    (html / "_images").mkdir(parents=True)
    table = "<table><tr><th>role</th><th>films</th></tr><tr><td>hospital</td><td>7</td></tr><tr><td>1</td></tr></table>"
    (html / "index.html").write_text(f"<p>recall 7 of 1</p>{table}<img alt='1' src='_images/a.png'>", encoding="utf-8")
    Image.fromarray(patterns(1, seed=5)[0]).save(html / "_images" / "a.png")
    return html


def png(text=None, pixels=None):
    buffer, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    if text is not None:
        notes.add_text("Comment", text, zip=True)
    Image.fromarray(np.zeros((8, 8), np.uint8) if pixels is None else pixels).save(buffer, "png", pnginfo=notes)
    return buffer.getvalue()


def jpeg(pixels, exif=None):
    buffer, notes = io.BytesIO(), Image.Exif()
    if exif:
        notes[0x010E] = exif
    Image.fromarray(pixels).save(buffer, "jpeg", quality=75, exif=notes)
    return buffer.getvalue()


def zipped(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def notebook(value):
    output = {"output_type": "display_data", "metadata": {}, "data": value}
    return json.dumps(
        {"cells": [{"cell_type": "code", "metadata": {}, "source": "", "outputs": [output]}], "metadata": {}}
    )


HIDING_PLACES = {
    "prose": ("a.html", f"<p>the film of {PATIENT}, ward 7</p>"),
    "another case": ("a.html", f"<p>{PATIENT.upper()}</p>"),
    "attribute": ("a.html", f'<img src="b.png" alt="{PATIENT}">'),
    "escaped for HTML": ("a.html", "<p>Huber-&Ouml;zt&#252;rk&nbsp;4711</p>"),
    "escaped for an address": ("a.html", f'<a href="show?who={quote(PATIENT)}">film</a>'),
    "escaped for JSON": ("a.json", json.dumps({"who": PATIENT})),
    "with a typographer's dash": ("a.html", "<p>Huber–Öztürk 4711</p>"),
    "broken by a tag": ("a.html", "<p>Huber-<b>Özt</b>ürk 4711</p>"),
    "a file's name without its folder": ("a.html", "<td>röntgen_4711_a.png</td>"),
    "a file's stem": ("a.txt", "see röntgen_4711_a for more"),
    "an unreadable file": ("a.html", "<td>lost_88121.dcm</td>"),
    "search index": ("searchindex.js", 'Search.setIndex({terms:{"röntgen_4711_a":[1]}})'),
    "source of a page": ("_sources/a.md", PATIENT),
    "drawing": ("a.svg", f"<svg><text>{PATIENT}</text></svg>"),
    "drawing's description": ("a.svg", f"<svg><desc>{escape(PATIENT)}</desc></svg>"),
    "notebook": ("a.ipynb", notebook({"text/plain": [f"'{PATIENT}'"]})),
    "picture's notes": ("a.png", png(PATIENT)),
    "picture's EXIF": ("a.jpg", jpeg(np.zeros((16, 16), np.uint8), "lost_88121.dcm")),
    "notes of a picture in a notebook": ("a.ipynb", notebook({"image/png": base64.b64encode(png(PATIENT)).decode()})),
    "data address": ("a.html", f'<a href="data:text/plain;base64,{base64.b64encode(PATIENT.encode()).decode()}">'),
    "name of a file": ("röntgen_4711_a.html", ""),
    "short id under a header": ("a.html", "<table><tr><th>patient id</th></tr><tr><td>7</td></tr></table>"),
    "short id in a key": ("a.json", '{"patient_id": "7"}'),
    "short id in a column": ("a.csv", "label,patient_id\nnegative,7\n"),
    "short id in an attribute": ("a.html", '<img data-patient="7">'),
    "short id with a letter in a cell": ("a.html", "<table><tr><td>AB3</td></tr></table>"),
    "common word as an id": ("a.json", '{"patient_id": "recall"}'),
    "accents spelt apart": ("a.html", unicodedata.normalize("NFD", PATIENT)),
    "accents spelt apart in a file's name": (unicodedata.normalize("NFD", "röntgen_4711_a.html"), ""),
    "other separators": ("a.html", "huber_öztürk.4711"),
    "another order": ("a.html", "<td>4711, Öztürk-Huber</td>"),
    "wide letters": ("a.html", "Huber-Öztürk ４７１１"),
    "Chinese": ("a.html", "<p>患者王伟的片子</p>"),
    "Korean": ("a.html", "<p>김민준의 영상</p>"),
    "under the table's own header": ("a.csv", "label,Fallnummer\nnegative,7\n"),
    "under the own header, printed": ("a.md", "    Fallnummer  label\n0            7  negative\n"),
    "printed table": ("a.ipynb", notebook({"text/plain": ["   patient_id     label\n", "0           7  negative"]})),
    "numbers in prose": ("a.html", "<p>of 48392, 50118, 61220 and 77013</p>"),
    "without its accents": ("a.html", "<p>HUBER-OZTURK 4711</p>"),
    "umlauts as two letters": ("a.html", "<p>Huber-Oeztuerk 4711</p>"),
    "in one word": ("a.html", "<a id='HuberÖztürk4711'>"),
    "escaped for a program": ("a.js", "who = 'Huber-\\xd6zt\\xfcrk 4711'"),
    "Chinese with a blank": ("a.html", "<p>王 伟</p>"),
    "signs between thousands": ("a.html", "<td>88,112,233</td>"),
    "a number as a fraction": ("a.csv", "patient_id,p\n7.0,0.3\n"),
    "without its leading zeros": ("a.html", "<p>film 5512345 of the ward</p>"),
    "beside a row's header": ("a.html", "<table><tr><th>patient id</th><td>7</td></tr></table>"),
    "beside a row's header, printed": ("a.md", "    patient_id     7    12\n    label        neg   pos\n"),
    "in a list of terms": ("a.html", "<dl><dt>Fallnummer</dt><dd>7</dd></dl>"),
    "as a table's index": ("a.md", "            p\npatient_id   \n7           0.31\n"),
    "in a list behind a key": ("a.json", '{"patient_id": [3, 7]}'),
    "called a patient": ("a.html", "<p>The film of patient 7 was wrong.</p>"),
    "called as the table calls it": ("a.html", "<p>Fallnummer 7</p>"),
    "short with a letter, in prose": ("a.html", "<p>as in AB3, where</p>"),
    "short with a letter, on an axis": ("a.svg", "<svg><text>AB3</text></svg>"),
    "short with a letter, in a description": ("a.html", '<img alt="film AB3">'),
    "base64, short": ("a.html", f"<p>{base64.b64encode(PATIENT.encode()).decode()}</p>"),
    "hexadecimal": ("a.html", f"<p>{PATIENT.encode().hex()}</p>"),
    "backwards": ("a.html", f"<bdo dir='rtl'>{PATIENT[::-1]}</bdo>"),
    "escaped for a style sheet": ("a.css", "a::after { content: 'Huber-\\d6 zt\\fc rk 4711' }"),
    "escaped by code points": ("a.js", "who = 'Huber-\\u{d6}zt\\u{fc}rk 4711'"),
    "short numbers in a list": ("a.html", "<ul><li>17</li><li>23</li><li>42</li><li>58</li></ul>"),
    "short numbers in a bare list": ("a.json", '{"shown": [17, 23, 42, 58]}'),
    "short numbers on an axis": ("a.svg", "<svg><text>17</text><text>23</text><text>42</text><text>77</text></svg>"),
    "short numbers drawn by matplotlib": ("a.svg", "<!-- 17 --><path/><!-- 23 --><path/><!-- 42 --><path/><!-- 58 -->"),
    "axis label of a drawing": ("a.svg", f"<svg><g><text>{PATIENT}</text></g></svg>"),
}  # fmt: skip

# Kinds of files that no book is made of, whatever they hold.
REFUSED = {
    "behind a picture's end": ("a.png", png() + b"lost_88121.dcm"),
    "compressed file": ("a.js.gz", gzip.compress(PATIENT.encode())),
    "file in an archive": ("a.zip", zipped("a.csv", PATIENT)),
    "wide characters": ("a.bin", b"\x01\x00" + "lost_88121.dcm".encode("utf-16-le")),
    "page in Latin-1": ("a.html", "Öztürk".encode("latin-1")),
    "half a notebook": ("a.ipynb", '{"cells": ['),
    "a list for a notebook": ("a.ipynb", "[]"),
    "a number for its cells": ("a.ipynb", '{"cells": 5, "metadata": {}}'),
    "a number for a cell": ("a.ipynb", '{"cells": [5], "metadata": {}}'),
    "a number for its outputs": ("a.ipynb", '{"cells": [{"outputs": [{"data": 5}]}], "metadata": {}}'),
    "a picture without a header": ("a.png", png()[:8] + png()[33:]),
    "null characters": ("a.html", "a\0b"),
}


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_a_clean_book_passes(study, book):
    assert private_findings(study, book) == []
    check_publishable(book, study)


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_a_name_is_found_wherever_it_hides_and_is_not_repeated(study, book, place):
    name, content = HIDING_PLACES[place]
    put(book, name, content)
    with pytest.raises(InputError, match=r"of the hospital role") as caught:
        check_publishable(book, study)
    said = str(caught.value).replace(name, "")
    for secret in (PATIENT, "4711", "lost_88121", "AB3"):
        assert secret not in said


def test_nothing_is_looked_for_where_everything_may_be_shown(study, book):
    source = study.data.hospital.model_copy(update={"publishable": True})
    shown = study.model_copy(update={"data": study.data.model_copy(update={"hospital": source})})
    put(book, "a.html", PATIENT)
    assert private_findings(shown, book) == []


def test_a_name_that_a_public_role_has_too_says_nothing():
    names = Names({"case-0001", "case-0002"}, shared={"case-0001"})
    assert names.found_in("case-0001") == set()
    assert names.found_in("case-0002") == {"case-0002"}


@pytest.mark.parametrize(
    "text",
    [
        "7 patients, 12 films",
        "Patients: 7",
        "films per patient 7",
        "fold 7 of 12",
        "the 7 patients",
        "h-7",
        "<td>7</td>",
    ],
)
def test_a_count_is_no_id(text):
    assert Names({"7", "12"}, columns=["Fallnummer"]).found_in(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "10, 20, 30, 40, 50", "<td>12</td><td>17</td><td>23</td><td>31</td><td>64</td>", "17 of 23 and 42 of 58",
        "0.17, 0.23, 0.42, 0.58", "17, 23, 42", "10 11 12 13 14 15 16 17 18 19 20 21 22 23",
    ],
)  # fmt: skip
def test_a_list_of_counts_is_no_list_of_ids(text):
    assert Names({"17", "23", "42", "58", "77"}).found_in(text) == set()
    assert Names({str(number) for number in range(10, 100)}).found_in(text) == set()


def test_numbers_of_pages_in_a_search_index_are_no_ids_and_others_are_found(tmp_path):
    """A hospital that numbers its patients from 1 on, a book of 17 pages, and words that many pages have."""
    names = Names({f"{number:04}" for number in (10, 11, 13, 14, 16, 140, 220, 340, 410)})
    terms = {str(number): [10, 11, 13, 14, 16] for number in range(2000, 2020)}
    index = {"docnames": [f"page{number}" for number in range(17)], "terms": terms}
    path = tmp_path / "searchindex.js"

    def found():
        path.write_text(f"Search.setIndex({json.dumps(index)})")
        return {name for piece in pieces_of(path, path.name) for name in names.found_in(piece.text)}

    assert found() == set()
    terms["word"] = [140, 220, 340, 410]
    assert found()


@pytest.mark.parametrize("text", ["0.12345678", "123456789", "x12345678y", "1,12345678"])
def test_a_number_in_another_number_is_no_id(text):
    assert Names({"12345678"}).found_in(text) == set()


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bnot gzip", b"PK\x03\x04nor this", b"\x89PNG\r\n\x1a\n, cut", b"\x93NUMPY"]
)
def test_what_can_t_be_looked_into_is_refused(study, book, content):
    if content.startswith(b"\x89PNG"):
        content = png(pixels=patterns(1)[0])[:300]
    for name in ("odd.bin", "odd.png"):
        put(book, name, content)
        with pytest.raises(InputError, match="leave it out"):
            check_publishable(book, study)


@pytest.mark.parametrize("height", [63, 80, 97, 128])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_pictures_of_every_shape_are_looked_into(tmp_path, height, mode):
    picture = Image.fromarray(patterns(1, seed=5, size=130)[0][:height]).convert(mode)
    for name, how in {"a.png": {}, "b.jpg": {}, "c.jpg": {"progressive": True}, "d.jpg": {"subsampling": 2}}.items():
        if name[0] == "a" or mode in ("L", "RGB"):
            picture.save(tmp_path / name, **how)
            assert any(piece.picture for piece in pieces_of(tmp_path / name, name))


@pytest.mark.parametrize("place", REFUSED)
def test_what_no_book_is_made_of_is_refused_and_not_repeated(study, book, place):
    name, content = REFUSED[place]
    put(book, name, content)
    with pytest.raises(InputError, match=r"leave it out|UTF-8|run the chapter again") as caught:
        check_results(study) if name.endswith("x") else check_publishable(book, study)
    assert "88121" not in str(caught.value)


def test_a_file_of_the_theme_passes_and_a_changed_one_does_not(study, book):
    font = next(Path(pydata_sphinx_theme.__file__).parent.rglob("fa-solid-900.woff2"))
    put(book, "_static/a.woff2", font.read_bytes())
    check_publishable(book, study)
    put(book, "_static/a.woff2", font.read_bytes() + b".")
    with pytest.raises(InputError, match=r"a\.woff2: no kind of file"):
        check_publishable(book, study)


def test_a_name_that_the_study_s_own_pages_hold_is_searched_all_the_same(study, book):
    put(study.root, "notebooks/01_data.ipynb", notebook({"text/plain": [PATIENT]}))
    put(study.root, "book/index.md", PATIENT)
    put(book, "a.html", PATIENT)
    told = study.model_copy(update={"summary": PATIENT})
    told._root = study.root
    with pytest.raises(InputError, match="of the hospital role"):
        check_publishable(book, told)


def test_without_the_array_of_films_nothing_is_published(study, book):
    array = study.results.images("hospital", SIZE)
    aside = array.rename(array.with_suffix(".aside"))
    with pytest.raises(InputError, match="private but not prepared"):
        check_publishable(book, study)
    aside.rename(array)


def test_films_too_small_to_be_told_apart_are_refused(study, book):
    small = study.model_copy(
        update={
            "gan": study.gan.model_copy(update={"resolution": 32}),
            "classifier": study.classifier.model_copy(update={"image_size": 32}),
        }
    )
    small._root = study.root
    np.save(study.results.images("hospital", 32), patterns(3, size=32))
    with pytest.raises(InputError, match="kept at 32 pixels a side"):
        check_publishable(book, small)


@pytest.mark.parametrize(("column", "value"), [("label", "positive"), ("fold", "fold1")])
def test_results_about_fewer_than_five_patients_are_refused(study, book, column, value):
    path = study.results.manifest("hospital")
    before = path.read_text(encoding="utf-8")
    manifest = read_manifest_csv(path)
    manifest.loc[:3, column] = value
    write_csv(path, manifest)
    with pytest.raises(InputError, match=rf"of `.*{value}` are of fewer than 5 patients.*data\.folds"):
        check_publishable(book, study)
    write_text(path, before)


def test_films_that_are_not_prepared_stop_the_check(write_tiny_study, tmp_path, book):
    data = {"hospital": {"reader": "folder", "folder": str(tmp_path / "none")}}
    with pytest.raises(InputError, match="private but not prepared"):
        check_publishable(book, load_study(write_tiny_study(data=data)))


def test_figures_tables_and_chapters_are_looked_at_too(study):
    check_results(study)
    put(study.results.root, "tables/rows.csv", f"patient_id\n{PATIENT}\n")
    put(study.results.root, "figures/film.png", png(pixels=patterns(3)[1]))
    with pytest.raises(InputError) as caught:
        check_results(study)
    for name in ("rows.csv", "film.png"):
        assert name in str(caught.value)
        next(study.results.root.rglob(name)).unlink()


def test_a_long_search_tells_how_far_it_is(study):
    put(study.results.root, "chapters/log.csv", "share\n0.5\n")
    put(study.results.root, "tables/rows.csv", "count\n12\n")
    put(study.results.root, "tables/more.csv", "count\n13\n" * 9)
    shares = []
    check_results(study, shares.append)
    assert shares == [pytest.approx(share) for share in (1 / 3, (2 + 82 / 92) / 3, 1.0)]


def test_a_book_that_is_searched_for_more_films_is_given_more_time(study):
    record, book = study.results.data_record("hospital"), Unit("book")
    before, minutes = read_json(record), []
    for films in (3, 3000):
        write_json(record, {**before, "images_used": films})
        minutes.append(book.resources(study).minutes)
    write_json(record, before)
    assert minutes[0] < 20
    assert minutes[1] > 90


def sheet(films, kind="png"):
    buffer = io.BytesIO()
    film_sheet([FilmRow("films", films, "real")]).savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("L"))


def framed(film, side, around=200):
    """A film of `side` pixels somewhere in a plain picture."""
    page = np.full((side + 90, side + 130), around, np.uint8)
    page[33 : 33 + side, 57 : 57 + side] = np.asarray(
        Image.fromarray(film).resize((side, side), Image.Resampling.BICUBIC)
    )
    return page


SHOWN = {
    "in a sheet": lambda film: sheet(np.stack([*patterns(3, seed=8), film])),
    "small": lambda film: framed(film, 60),
    "large": lambda film: framed(film, 500),
    "cropped": lambda film: framed(film[6:56, 10:60], 170),
    "a corner of three quarters": lambda film: framed(film[:48, 16:], 170),
    "mirrored": lambda film: framed(film[:, ::-1], 150),
    "inverted": lambda film: framed(255 - film, 150),
    "brighter": lambda film: framed((60 + 0.6 * film).astype(np.uint8), 150),
    "written over": lambda film: np.where(np.eye(240, 280, dtype=bool), 0, framed(film, 150)).astype(np.uint8),
    "by itself": lambda film: film,
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_film_is_found_however_it_is_shown(way):
    films = patterns(6)
    found = {match.film for match in FilmIndex(films).search(SHOWN[way](films[2]))}
    assert found == {2}


def as_file(kind, pixels):
    encoded = base64.b64encode(png(pixels=pixels)).decode()
    address = f"data:image/png;base64,{encoded}"
    return {
        "PNG": ("a.png", png(pixels=pixels)),
        "JPEG": ("a.jpg", jpeg(pixels)),
        "page": ("a.html", f'<img src="{address}">'),
        "page, escaped": ("a.html", f'<img src="{quote(address)}">'),
        "style sheet": ("a.css", f"a {{ background: url({address}) }}"),
        "drawing": ("a.svg", f'<svg><image xlink:href="{address}"/></svg>'),
        "notebook": ("a.ipynb", notebook({"image/png": encoded})),
        "notebook, in lines": ("a.ipynb", notebook({"image/png": base64.encodebytes(png(pixels=pixels)).decode()})),
        "notebook, in a list": ("a.ipynb", notebook({"image/png": [encoded[:300], encoded[300:]]})),
    }[kind]


KINDS = ("PNG", "JPEG", "page", "page, escaped", "style sheet", "drawing", "notebook", "notebook, in lines",
         "notebook, in a list")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_is_found_in_every_kind_of_file(study, book, kind):
    name, content = as_file(kind, framed(patterns(3)[1], 120))
    put(book, name, content)
    assert private_findings(study, book) == [f"{name}: shows 1 film of the hospital role, or as good as"]


def simulated(role, scanner, count):
    source = PhantomSource(reader="phantom", scanner=scanner, negative_patients=count, positive_patients=count)
    rows = phantom_manifest(source, role, 3).drop_duplicates("patient_id").head(count).to_dict("records")
    return np.stack([phantom_film(source, 3, row, SIZE).image for row in rows])


def test_simulated_films_of_others_are_not_taken_for_private_ones():
    private, others = simulated("hospital", "hospital", 14), simulated("else", "hospital", 8)
    index = FilmIndex(private)
    assert index.search(sheet(others)) == []
    found = {match.film for match in index.search(sheet(private[:8]))}
    assert len(found & set(range(8))) >= 6


@pytest.mark.parametrize("side", [SIZE, 32])
def test_films_that_the_hospital_has_several_times_are_found_all_the_same(side):
    """Near-copies, as of one patient, must not divide what speaks for them, many on one page not hide each other."""
    random, three = np.random.default_rng(1), patterns(3, seed=3).astype(float)
    noisy = [np.clip(three[row % 3] + random.normal(0, 6, (SIZE, SIZE)), 0, 255).astype(np.uint8) for row in range(24)]
    shown = [np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BOX)) for film in noisy]
    found = {match.film for match in FilmIndex(np.stack(noisy)).search(sheet(np.stack(shown)))}
    assert len({film % 3 for film in found}) >= 2


def test_real_films_of_others_are_not_taken_for_private_ones(real_films):
    def read(folder, step):
        files = pd.read_csv(real_films / folder / "labels.csv")["file"][::step]
        return np.stack([decode(real_films / folder / file, (SIZE,))[0] for file in files])

    private, public = read("case_reports", 7), read("public", 400)
    index = FilmIndex(private)
    assert index.search(sheet(public[:16])) == []
    found = {match.film for match in index.search(sheet(private[:16]))}
    assert len(found & set(range(16))) >= 13


def test_a_synthetic_film_that_copies_a_private_one_is_known(study):
    made = np.concatenate([patterns(4, seed=9), patterns(3)[1:2], patterns(2, seed=10)])
    assert near_copies(study, made).tolist() == [False] * 4 + [True] + [False] * 2


def test_a_synthetic_copy_is_left_out_of_figures_and_its_row_says_so(study):
    films = np.concatenate([patterns(3, seed=9), patterns(3)[1:2]])
    row = row_of_synthetic(study, "synthetic · positive", films)
    assert len(row.films) == 3
    assert "1 left out, too near to a film that may not be shown" in row.title
    unshown = row_of_synthetic(study, "synthetic · positive", films[:3])
    assert len(unshown.films) == 3
    assert unshown.title == "synthetic · positive"
