"""Open a built book in headless Chromium: `python tests/check_book.py _build/demo/html`.

From the index it follows the links to the chapters and to every other page of the book. It fails if a chapter is
missing or has no picture, a picture does not load, the console shows an error, a page is wider than a phone, or one
asks another host for anything. It uses nothing of the project but its notebooks' names, so that it can judge any
build of it.
"""

import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHAPTERS = tuple(sorted(path.stem for path in (Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb")))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
PHONE = {"width": 390, "height": 800}
BROKEN_NAMES = """() => [...document.querySelectorAll('article table code')]
    .filter(one => one.getClientRects().length > 1 + (one.textContent.match(/[^A-Za-z0-9]/g) ?? []).length)
    .map(one => one.textContent)"""
UNNAMED = """() => {
    const said = one => `${one.textContent}${one.getAttribute('aria-label') ?? ''}${one.title ?? ''}`.trim();
    const pictured = link => link.querySelector('img[alt]:not([alt=""]), svg[aria-label]');
    const among = (selector, wrong, problem) =>
        [...document.querySelectorAll(selector)].filter(wrong).map(one => `${problem}: ${one.outerHTML.slice(0, 80)}`);
    return [
        ...among('article th', one => !said(one), 'a header without words'),
        ...among('article table', one => !one.caption || !said(one.caption), 'a table without a caption'),
        ...among('article img', one => !one.alt, 'a picture without a description'),
        ...among('article a[href], button', one => !said(one) && !pictured(one), 'a link or button without a name'),
        ...among('head', one => !one.querySelector('meta[name="description"]')?.content, 'no description'),
    ];
}"""
BROKEN_PICTURES = """async () => {
    const pictures = [...document.images];
    pictures.forEach(picture => { picture.loading = 'eager'; });
    await Promise.allSettled(pictures.map(picture => picture.decode()));
    return pictures.filter(picture => !(picture.complete && picture.naturalWidth > 0)).map(picture => picture.src);
}"""


@dataclass
class Findings:
    """What was seen on the pages of a book, and what is wrong with it."""

    pages: int = 0
    chapters: int = 0
    pictures: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.pages} pages, {self.chapters} chapters, {self.pictures} pictures, {len(self.problems)} problems"


def browser_path() -> str | None:
    """Where Chromium is: `CHROMIUM` if set, else found on the path."""
    candidates = (os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS))
    return next((path for path in candidates if path and Path(path).exists()), None)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback address while the block runs; gives its address, without a slash at the end."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Requests are recorded in the browser."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def opened_browser(width: int = 1280, height: int = 900) -> Iterator[object]:
    """A page of a fresh headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(ARGUMENTS))
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def check_book(html: Path, chapters: Collection[str] = CHAPTERS) -> Findings:
    """Open every page that the index leads to, and say what was found."""
    findings = Findings()
    with served(html) as address, opened_browser() as page:
        _watch(page, address, findings)
        page.goto(f"{address}/index.html", wait_until="networkidle")
        found = [link.split("#")[0] for link in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")]
        links = dict.fromkeys(link for link in found if link.startswith(address) and link.endswith(".html"))
        for link in {f"{address}/index.html": None, **links}:
            pictures = _open(page, link, findings)
            name = Path(link).stem
            findings.chapters += name in chapters
            if name in chapters and not pictures:
                findings.problems.append(f"{name}: the chapter has no picture")
    if findings.chapters < len(chapters):
        findings.problems.append(f"the index leads to {findings.chapters} of {len(chapters)} chapters")
    return findings


def _watch(page: object, address: str, findings: Findings) -> None:
    """Record what a page complains of and what it asks other hosts for."""

    def console(message: object) -> None:
        if message.type == "error":
            findings.problems.append(f"{page.url}: console: {message.text}")

    def request(asked: object) -> None:
        if not asked.url.startswith((address, "data:", "blob:")):
            findings.problems.append(f"{page.url}: asks another host: {asked.url}")

    page.on("console", console)
    page.on("request", request)
    page.on("pageerror", lambda error: findings.problems.append(f"{page.url}: script: {error}"))


def _open(page: object, link: str, findings: Findings) -> int:
    """Open one page, wait for its pictures, and return how many its article shows."""
    answer = page.goto(link, wait_until="load")
    if answer is None or not answer.ok:
        findings.problems.append(f"{link}: does not open")
        return 0
    findings.problems += [f"{link}: picture does not load: {source}" for source in page.evaluate(BROKEN_PICTURES)]
    findings.problems += [f"{link}: {problem}" for problem in page.evaluate(UNNAMED)]
    pictures = page.locator("article img, article svg.figure").count()
    findings.pages += 1
    findings.pictures += pictures
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > PHONE["width"]:
        findings.problems.append(f"{link}: {wide} pixels wide in a window of {PHONE['width']}")
    findings.problems += [f"{link}: a name broken within its words: {name}" for name in page.evaluate(BROKEN_NAMES)]
    page.set_viewport_size(before)
    return pictures


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not (Path(arguments[0]) / "index.html").is_file():
        sys.stderr.write("usage: python tests/check_book.py FOLDER, the folder that holds the book's index.html\n")
        return 1
    if browser_path() is None:
        sys.stderr.write(f"no browser: looked for {', '.join(BROWSERS)}, and for the one that CHROMIUM names\n")
        return 1
    started = time.monotonic()
    findings = check_book(Path(arguments[0]))
    for problem in findings.problems:
        sys.stdout.write(f"  {problem}\n")
    sys.stdout.write(f"{arguments[0]}: {findings} in {time.monotonic() - started:.0f} s\n")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
