"""Sixty-odd ways to publish a private film, each refused; what the guard can't see is listed by `publish`."""

import base64
import gzip
import io
import json
import lzma
import tarfile
import zlib

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, PngImagePlugin

from cxrlib.files import write_csv, write_json
from cxrlib.films.manifest import MANIFEST_COLUMNS
from cxrlib.publishing.guard import private_findings
from cxrlib.publishing.limits import limits_lines
from cxrlib.study import load_study

SIZE = 64


def films(count):
    random = np.random.default_rng(4)
    grids = random.integers(0, 256, (count, 12, 12)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(g).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for g in grids])


FILM = films(3)[1]
LARGE = np.asarray(Image.fromarray(FILM).resize((160, 160), Image.Resampling.BICUBIC))


def saved(pixels, kind, **how):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **how)
    return buffer.getvalue()


def drawn(kind, mesh=False):
    figure = Figure(figsize=(3, 3))
    axes = figure.subplots()
    axes.pcolormesh(FILM, cmap="gray") if mesh else axes.imshow(FILM, cmap="viridis")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = len(saved(FILM, "png"))
        archive.addfile(entry, io.BytesIO(saved(FILM, "png")))
    return buffer.getvalue()


def array():
    buffer = io.BytesIO()
    np.save(buffer, FILM.ravel())
    return buffer.getvalue()


def output(kind, data):
    made = {"output_type": "display_data", "metadata": {}, "data": {kind: data}}
    cell = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [made]}
    return json.dumps({"cells": [cell], "metadata": {}})


def coloured(name):
    return (255 * mpl.colormaps[name](LARGE)[..., :3]).astype(np.uint8)


def cells():
    return "".join(f'<td style="background: #{3 * f"{grey:02x}"}"></td>' for grey in FILM.ravel())


def with_alpha(colour, alpha):
    return saved(
        np.dstack([*(np.broadcast_to(part, LARGE.shape).astype(np.uint8) for part in (colour,) * 3), alpha]), "png"
    )


def written_over():
    image = Image.fromarray(LARGE)
    for line in range(4):
        ImageDraw.Draw(image).text((4, 8 + 40 * line), "positive, p = 0.93", fill=255)
    return np.asarray(image)


def pixels():
    return [(place, int(grey)) for place, grey in enumerate(FILM.ravel())]


def in_signs(signs):
    return "\n".join("".join(signs[int(grey) * len(signs) // 256] for grey in row) for row in FILM)


def under_one_colour():
    image = Image.fromarray(LARGE).convert("P")
    image.putpalette([255] * 768)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def noted(text):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", text)
    return saved(0 * LARGE, "png", pnginfo=notes)


def below_the_last_row(kind):
    """A film under another picture, in rows of which the header does not tell."""
    data = bytearray(saved(np.vstack([0 * LARGE, LARGE]), kind))
    if kind == "png":
        data[20:24] = len(LARGE).to_bytes(4)
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    else:
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 2] = len(LARGE).to_bytes(2)
    return bytes(data)


def in_a_chunk(name):
    """A film's bytes as a part of a PNG that no program reads."""
    plain, body = saved(0 * LARGE, "png"), name.encode() + FILM.tobytes()
    return plain[:33] + FILM.size.to_bytes(4) + body + zlib.crc32(body).to_bytes(4) + plain[33:]


def notes_of_one_name(*texts):
    notes = PngImagePlugin.PngInfo()
    for text in texts:
        notes.add_text("Comment", text)
    return saved(0 * LARGE, "png", pnginfo=notes)


def in_comments():
    plain, data = saved(0 * LARGE, "jpeg"), saved(FILM, "jpeg", quality=60)
    parts = [data[start : start + 500] for start in range(0, len(data), 500)]
    comments = b"".join(b"\xff\xfe" + (len(part) + 2).to_bytes(2) + part for part in parts)
    return plain[:2] + comments.replace(b"\xff\xd8\xff", b"\xff\xd8\xfe").replace(b"\xff\xd9", b"\xff\xd8") + plain[2:]


WORDS = ("lung", "heart", "rib", "spine", "hilum", "apex", "base", "node", "vein", "aorta", "pleura", "wedge", "air",
         "cage", "crest", "dome")  # fmt: skip
BASE64 = base64.b64encode(zlib.compress(FILM.tobytes())).decode()
PNG64 = base64.b64encode(saved(FILM, "png")).decode()
ROWS = [", ".join(map(str, row)) for row in FILM]
PARTS = [PNG64[start : start + 40] for start in range(0, len(PNG64), 40)]
WAYS = {
    "PNG": ("a.png", saved(LARGE, "png")),
    "JPEG": ("a.jpg", saved(LARGE, "jpeg")),
    "upside down": ("a.png", saved(LARGE[::-1], "png")),
    "mirrored": ("a.png", saved(LARGE[:, ::-1], "png")),
    "turned": ("a.png", saved(np.rot90(LARGE), "png")),
    "inverted": ("a.png", saved(255 - LARGE, "png")),
    "in colours": ("a.png", saved(coloured("viridis"), "png")),
    "in the colours of a rainbow": ("a.png", saved(coloured("jet"), "png")),
    "few grey levels": ("a.png", saved(LARGE // 32 * 32, "png")),
    "written over": ("a.png", saved(written_over(), "png")),
    "under full transparency": ("a.png", with_alpha(LARGE, np.zeros_like(LARGE))),
    "as transparency": ("a.png", with_alpha(np.zeros_like(LARGE), LARGE)),
    "pcolormesh": ("a.png", drawn("png", mesh=True)),
    "imshow": ("a.png", drawn("png")),
    "SVG": ("a.svg", drawn("svg")),
    "SVG of pcolormesh": ("a.svg", drawn("svg", mesh=True)),
    "PDF": ("a.pdf", drawn("pdf")),
    "second frame of a PNG": ("a.png", saved(0 * LARGE, "png", save_all=True, append_images=[Image.fromarray(LARGE)])),
    "GIF": ("a.gif", saved(LARGE, "gif")),
    "WebP": ("a.webp", saved(LARGE, "webp")),
    "TIFF": ("a.tiff", saved(LARGE, "tiff")),
    "PPM": ("a.ppm", saved(LARGE, "ppm")),
    "TGA": ("a.tga", saved(LARGE, "tga")),
    "JPEG 2000": ("a.jp2", saved(LARGE, "jpeg2000")),
    "another kind under the name of a PNG": ("a.png", saved(LARGE, "tga")),
    "behind a prefix": ("a.png", b"prefix" + saved(LARGE, "png")),
    "behind another picture": ("a.png", saved(0 * LARGE, "png") + saved(LARGE, "png")),
    "behind a page": ("a.html", b"<p>page</p>" + saved(LARGE, "png")),
    "in a picture's notes": ("a.jpg", saved(0 * LARGE, "jpeg", comment=saved(LARGE, "jpeg"))),
    "16 bits": ("a.png", saved(LARGE.astype(np.uint16), "png")),
    "array": ("a.npy", array()),
    "bytes": ("a.txt", FILM.tobytes()),
    "tar": ("a.tar", tar()),
    "gzip": ("a.json.gz", gzip.compress(json.dumps(FILM.tolist()).encode())),
    "Plotly": ("a.ipynb", output("application/vnd.plotly.v1+json", {"data": [{"z": {"bdata": BASE64}}]})),
    "JavaScript output": ("a.ipynb", output("application/javascript", "show([1, 2, 3])")),
    "JavaScript": ("a.html", f"<script>const film = {json.dumps(FILM.tolist())};</script>"),
    "compressed base64": ("a.html", f"<script>const film = '{BASE64}';</script>"),
    "split base64": ("a.html", f"<script>const film = {' + '.join(json.dumps(part) for part in PARTS)};</script>"),
    "split base64 in a notebook": ("a.ipynb", output("text/plain", "\n".join(PARTS))),
    "hex": ("a.html", f"<p>{FILM.tobytes().hex()}</p>"),
    "hex with blanks": ("a.html", f"<p>{FILM.tobytes().hex(' ')}</p>"),
    "printed list": ("a.ipynb", output("text/plain", "\n".join(ROWS))),
    "JSON list": ("a.json", json.dumps(FILM.tolist())),
    "table of numbers": ("a.html", "".join(f"<tr><td>{row.replace(', ', '</td><td>')}</td></tr>" for row in ROWS)),
    "CSV": ("a.csv", "\n".join(ROWS)),
    "coloured cells": ("a.html", cells()),
    "records": ("a.json", json.dumps([{"row": n // SIZE, "column": n % SIZE, "grey": int(g)} for n, g in pixels()])),
    "attributes": ("a.html", "".join(f'<i data-at="{n}" data-grey="{grey}"></i>' for n, grey in pixels())),
    "opacity": ("a.svg", "".join(f"<rect x='{n % SIZE}' opacity='{grey / 255:.2f}'/>" for n, grey in pixels())),
    "letters": ("a.html", f"<pre>{in_signs('abcdefghijklmnopqrstuvwxyz')}</pre>"),
    "signs": ("a.ipynb", output("text/plain", in_signs(" .:-=+*#%@"))),
    "signs in a row": ("a.html", f"<p>{in_signs('.:-=+*#%@').replace(chr(10), '')}</p>"),
    "Braille": ("a.html", f"<p>{in_signs(''.join(map(chr, range(0x2800, 0x2900))))}</p>"),
    "emoji": ("a.html", f"<p>{in_signs('⚫🌑🌒🌓🌔🌕')}</p>"),
    "under a palette of one colour": ("a.png", under_one_colour()),
    "as a profile of colours": ("a.jpg", saved(0 * LARGE, "jpeg", icc_profile=FILM.tobytes())),
    "as notes of a PNG": ("a.png", noted(FILM.tobytes().decode("latin-1"))),
    "AVIF": ("a.avif", saved(LARGE, "avif")),
    "DICOM": ("a.dcm", b"\0" * 128 + b"DICM" + FILM.tobytes()),
    "safetensors": ("a.safetensors", safetensors.numpy.save({"film": FILM})),
    "xz": ("a.xz", lzma.compress(FILM.tobytes())),
    "arrays, packed": ("a.npz", array()),
    "rows below the last, PNG": ("a.png", below_the_last_row("png")),
    "rows below the last, JPEG": ("a.jpg", below_the_last_row("jpeg")),
    "a part of a PNG that nobody reads": ("a.png", in_a_chunk("bKGD")),
    "EXIF of a PNG": ("a.png", in_a_chunk("eXIf")),
    "behind a note of the same name": ("a.png", notes_of_one_name("Film one", "Nothing")),
    "many comments of a JPEG": ("a.jpg", in_comments()),
    "CSV with a word in each row": ("a.csv", "\n".join(f"{WORDS[n % 16]}{n},{row}" for n, row in enumerate(ROWS))),
    "table with a word in each row": ("a.html", "".join(f"<p>{WORDS[n % 16]} {row}</p>" for n, row in enumerate(ROWS))),
    "CSV of records": ("a.csv", "\n".join(f"pixel,{n},{grey}" for n, grey in pixels())),
    "characters of another script": ("a.html", f"<p>{''.join(chr(0x4E00 + int(grey)) for grey in FILM.ravel())}</p>"),
    "letters one by one": ("a.html", f"<p>{' '.join(in_signs('abcdefghijklmnop').replace(chr(10), ''))}</p>"),
    "bytes as an address": ("a.html", f"<a href='#{''.join(f'%{grey:02x}' for grey in FILM.ravel())}'>"),
    "signs by their numbers": ("a.html", f"<p>{''.join(f'&#{200 + grey};' for grey in FILM.ravel().tolist())}</p>"),
    "printed blocks": ("a.md", "\n".join("".join(" ░▒▓█"[grey // 52] for grey in row) for row in FILM)),
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    root = tmp_path_factory.mktemp("red-team")
    data = {"hospital": {"reader": "folder", "folder": str(root / "films")}}
    made = load_study(write_study_in(root, data=data, gan={"resolution": SIZE}, classifier={"image_size": SIZE}))
    manifest = pd.DataFrame("", index=range(5), columns=list(MANIFEST_COLUMNS))
    manifest = manifest.assign(image_id=[f"film {n}" for n in ("one", "two", "three", "four", "five")])
    manifest = manifest.assign(label="negative", age=np.nan)
    write_csv(
        made.results.manifest("hospital"), manifest.assign(file=manifest["image_id"], patient_id=manifest["image_id"])
    )
    write_json(made.results.data_record("hospital"), {})
    np.save(made.results.images("hospital", SIZE), films(3))
    return made


@pytest.mark.parametrize("way", WAYS)
def test_a_private_film_is_refused(study, tmp_path, way):
    name, content = WAYS[way]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert private_findings(study, tmp_path)


BEYOND = {
    "small": (LARGE[::8, ::8], "fewer than 48 pixels a side"),
    "in another picture's noise": (np.kron(films(9)[7], np.ones((4, 4), np.uint8)) // 8 * 8, "hidden in other"),
}
BEYOND["in another picture's noise"][0][:SIZE, :SIZE] += FILM // 32


@pytest.mark.parametrize("way", BEYOND)
def test_what_passes_is_told_before_somebody_signs(study, tmp_path, way):
    pixels, said = BEYOND[way]
    (tmp_path / "a.png").write_bytes(saved(pixels, "png"))
    assert private_findings(study, tmp_path) == []
    assert any(said in line for line in limits_lines())
