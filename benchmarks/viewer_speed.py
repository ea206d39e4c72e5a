"""How fast the reading answers a hand: the next film after Enter, and window and level while the mouse moves.

Measured in Chromium, by the page's own clock, in JupyterLab with a real kernel, session and disk, on films of 1024 x
1024 pixels. The next film counts from the key that stores an answer to the frame that shows the film: the way to the
kernel, the answer on the disk, the way back, and the drawing. Frames are those in which the film was drawn anew while a
drag went on; beside them how many the browser makes when nothing is drawn, which is the limit, and how many the same
film makes when a program on WebGL2 draws it. The claim: the next film in 150 ms, and 30 frames per second.

    python benchmarks/viewer_speed.py
    python benchmarks/viewer_speed.py --pixels 2048 --seconds 10

Writes benchmarks/results/viewer_speed.json and .md.
"""

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pandas as pd

from cxrlib.files import write_json, write_text
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY

# A server and a reader's hands are the same here as in the tests.
sys.path.insert(0, str(REPOSITORY / "tests"))
import conftest
import reading_browser

RESULTS = REPOSITORY / "benchmarks" / "results"
GOAL_MS, GOAL_FRAMES = 150, 30
KINDS = ("uint8", "uint16")
CELL = """\
import numpy as np
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.session import ReadingSession
from cxrlib.reading.viewer import ReadingWidget
from cxrlib.study import load_study

study = load_study({study!r})
protocol = prepare_protocol(study)
films = protocol.film_pixels(study)
enlarged = np.ones(({pixels} // {side}, {pixels} // {side}), "{kind}")
films = {{film: np.kron(greys, enlarged * {factor}) for film, greys in films.items()}}
ReadingWidget(ReadingSession(study, protocol, "speed{kind}"), films)
"""
WATCH = """() => {
    window.waits = [];
    const root = document.querySelector('.cxr-reading');
    addEventListener('keydown', event => { if (event.key === 'Enter') window.began = performance.now(); }, true);
    new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => waits.push(performance.now() - began))))
        .observe(root, { attributes: true, attributeFilter: ['data-task'] });
}"""
DRAG = """async seconds => {
    const canvas = document.querySelector('canvas.film');
    const box = canvas.getBoundingClientRect();
    const point = (name, x, y) => canvas.dispatchEvent(new PointerEvent(name, {
        bubbles: true, pointerId: 1, button: 0, clientX: box.x + x, clientY: box.y + y }));
    canvas.setPointerCapture = () => {};
    let drawn = 0;
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (...given) { drawn++; return put.apply(this, given); };
    point('pointerdown', 200, 200);
    const began = performance.now();
    let step = 0;
    while (performance.now() - began < 1000 * seconds) {
        step++;
        point('pointermove', 200 + 80 * Math.sin(step / 10), 200 + 60 * Math.cos(step / 13));
        await new Promise(requestAnimationFrame);
    }
    const rate = 1000 * drawn / (performance.now() - began);
    point('pointerup', 200, 200);
    CanvasRenderingContext2D.prototype.putImageData = put;
    return rate;
}"""
EMPTY = """async seconds => {
    const began = performance.now();
    let frames = 0;
    while (performance.now() - began < 1000 * seconds) { frames++; await new Promise(requestAnimationFrame); }
    return 1000 * frames / (performance.now() - began);
}"""
# The film as a texture of integers, its window in the fragment shader; a pixel is read so that frames are finished.
WEBGL = """async ([seconds, pixels, bits, width, height]) => {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    document.body.append(canvas);
    const gl = canvas.getContext('webgl2');
    if (!gl) { canvas.remove(); return null; }
    const shader = (type, source) => {
        const made = gl.createShader(type);
        gl.shaderSource(made, '#version 300 es\\n' + source);
        gl.compileShader(made);
        return made;
    };
    const program = gl.createProgram();
    gl.attachShader(program, shader(gl.VERTEX_SHADER,
        `out vec2 at; void main() {
            at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.; gl_Position = vec4(at * 2. - 1., 0, 1); }`));
    gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `precision highp float; precision highp usampler2D;
        uniform usampler2D film; uniform vec2 grey; in vec2 at; out vec4 colour;
        float near(ivec2 p) { return float(texelFetch(film, clamp(p, ivec2(0), textureSize(film, 0) - 1), 0).r); }
        void main() { vec2 p = at * vec2(textureSize(film, 0)) - .5; ivec2 i = ivec2(floor(p)); vec2 f = fract(p);
            float v = mix(mix(near(i), near(i + ivec2(1, 0)), f.x), mix(near(i + ivec2(0, 1)), near(i + 1), f.x), f.y);
            colour = vec4(vec3((v - grey.x) / grey.y), 1); }`));
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const greys = (bits === 8 ? new Uint8Array(pixels * pixels) : new Uint16Array(pixels * pixels)).map((_, i) => i);
    const [inner, type] = bits === 8 ? [gl.R8UI, gl.UNSIGNED_BYTE] : [gl.R16UI, gl.UNSIGNED_SHORT];
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, pixels, pixels, 0, gl.RED_INTEGER, type, greys);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    const began = performance.now(), one = new Uint8Array(4);
    let frames = 0;
    while (performance.now() - began < 1000 * seconds) {
        gl.uniform2f(gl.getUniformLocation(program, 'grey'), frames % 90, 100 + frames % 70);
        gl.drawArrays(gl.TRIANGLES, 0, 3);
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, one);
        frames++;
        await new Promise(requestAnimationFrame);
    }
    canvas.remove();
    return 1000 * frames / (performance.now() - began);
}"""


def write_notebook(folder: Path, study: str, kind: str, pixels: int, side: int) -> None:
    source = CELL.format(study=study, kind=kind, pixels=pixels, side=side, factor=1 if kind == "uint8" else 16)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / f"{kind}.ipynb")


def measure(page: object, kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Waits for the next film (ms, one per answer) and frames per second of one kind of film."""
    reader = reading_browser.Reader(page, seconds=100)
    reader.wait_for_task()
    bits = 8 if kind == "uint8" else 16
    found = {
        "bits": bits,
        "load": os.getloadavg()[0],
        "limit_frames_per_s": page.evaluate(EMPTY, options.seconds),
        "frames_per_s": page.evaluate(DRAG, options.seconds),
        "canvas": page.evaluate("(({ width, height }) => [width, height])(document.querySelector('canvas.film'))"),
    }
    page.evaluate(WATCH)
    while reader.answer_task(keyboard=True) == "reading":
        page.wait_for_timeout(200)  # a reader looks at the film, and the next one arrives meanwhile
    return {**found, "next_film_ms": page.evaluate("waits")[:-1]}  # after the last answer no film is shown


def report(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    lines = []
    for row in rows.itertuples():
        waits = pd.Series(row.next_film_ms)
        webgl = "–" if row.webgl_frames_per_s is None else f"{row.webgl_frames_per_s:.0f}"
        lines.append(
            f"| {row.bits} | {waits.median():.0f} ({waits.min():.0f} to {waits.max():.0f}) | {row.frames_per_s:.0f} | "
            f"{webgl} | {row.limit_frames_per_s:.0f} |"
        )
    width, height = rows["canvas"].iloc[0]
    answers = len(rows["next_film_ms"].iloc[0])
    return f"""# The reading under the hand

Films of {options.pixels} x {options.pixels} pixels in JupyterLab, drawn on a canvas of {width} x {height}.
Chromium without a graphics card: every pixel is drawn by the processor.

| bits | next film, ms: median (range) | window and level, frames/s | the same on WebGL2 | nothing drawn |
| --- | --- | --- | --- | --- |
{chr(10).join(lines)}
| goal | {GOAL_MS} | {GOAL_FRAMES} | | |

- The next film: from the key that stores an answer to the frame that shows the film, {answers} answers each. Kernel,
  session and disk are real, and pairs of films are among them.
- The reading draws through a lookup table on a 2D canvas, which needs no graphics card.
- Load when measuring began: {rows["load"].min():.1f} to {rows["load"].max():.1f}, on {os.cpu_count()} cores. Other
  programs slow all of these numbers; the frames that are made when nothing is drawn show by how much.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1024, help="side of the films")
    parser.add_argument("--seconds", type=float, default=5, help="how long each drag goes on")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = reading_browser.study_to_read(conftest.write_study, folder, practice_films=0)
        for kind in KINDS:
            write_notebook(folder, str(study.file), kind, options.pixels, study.gan.resolution)
        with reading_browser.jupyterlab(folder) as lab, reading_browser.chromium() as browser:
            for kind in KINDS:
                page = browser.new_page(viewport=reading_browser.SCREEN)
                page.goto(lab.notebook(kind))
                reading_browser.run_notebook(page)
                rows.append(measure(page, kind, options))
                page.close()
    with reading_browser.chromium(webgl=True) as browser:
        page = browser.new_page(viewport=reading_browser.SCREEN)
        for row in rows:
            given = [options.seconds, options.pixels, row["bits"], *row["canvas"]]
            row["webgl_frames_per_s"] = page.evaluate(WEBGL, given)
    table = pd.DataFrame(rows)
    text = report(table, options)
    facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **provenance(REPOSITORY)}
    write_json(RESULTS / "viewer_speed.json", {"settings": vars(options), **facts, "rows": rows})
    made = f"\n{facts['date']}, commit {facts['commit'][:12]}, {facts['processor']}, Python {facts['python']}.\n"
    write_text(RESULTS / "viewer_speed.md", text + made)
    sys.stdout.write(text + made)


if __name__ == "__main__":
    main()
