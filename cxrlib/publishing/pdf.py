"""The whole book as one PDF, printed by a browser: `python -m cxrlib.publishing.pdf STUDY`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from bs4 import BeautifulSoup
from bs4.element import Tag

from cxrlib.errors import InputError
from cxrlib.reproducibility import BROWSERS, find_browser
from cxrlib.study import Study, load_study

LONGEST_SECONDS = 600
PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{styles}</head><body><main><div class="bd-content"><div class="bd-article-container">
<nav class="print-contents"><h2>Contents</h2><ol>{contents}</ol></nav>
{articles}
</div></div></main></body></html>
"""


def print_book(study: Study) -> Path:
    """Write `_build/<study>/book.pdf` from the built book and return its path.

    Raises `InputError` where there is no book yet, no browser (Chromium or Chrome; `CHROMIUM` may name it), or where it
    prints nothing.
    """
    html, target = study.build_folder / "html", study.build_folder / "book.pdf"
    if not (html / "index.html").is_file():
        raise InputError(f"{html}: no book to print; build it first: `cxr report {study.name}`")
    browser = find_browser()
    if not browser:
        raise InputError(
            f"found no browser to print with, looked for {', '.join(BROWSERS)}; install one or set CHROMIUM"
        )
    with tempfile.TemporaryDirectory(prefix="cxr-print-") as folder:
        whole, printed = Path(folder) / "book.html", Path(folder) / "book.pdf"
        whole.write_text(whole_book(html, pages_of(study.build_folder / "source")), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                   "--no-pdf-header-footer", f"--user-data-dir={folder}/profile", f"--print-to-pdf={printed}",
                   whole.as_uri()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
        if not printed.exists():
            raise InputError(f"{browser}: printed nothing: {done.stderr.strip()[-500:]}")
        shutil.move(printed, target)
    return target


def pages_of(source: Path) -> list[str]:
    """The pages of a book in their order, as names without ending, from its contents."""
    contents = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    return [contents["root"], *(page["file"] for part in contents["parts"] for page in part["chapters"])]


def whole_book(html: Path, pages: Sequence[str]) -> str:
    """One HTML page with the articles of all pages; links between them lead to places in it."""
    articles, titles = [], []
    first = BeautifulSoup((html / f"{pages[0]}.html").read_text(encoding="utf-8"), "html.parser")
    for page in pages:
        soup = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
        article = soup.select_one("article.bd-article")
        if article is None:
            raise InputError(f"{html / page}.html: no page of a book; build the book again")
        for unprinted in article.select("script, .headerlink, details.hide, .interactive"):
            unprinted.decompose()
        _lead_into_one(article, page, set(pages), html.resolve().as_uri())
        heading = article.h1.get_text(strip=True) if article.h1 else page
        titles.append(f'<li><a href="#{_place(page, "")}">{heading}</a></li>')
        articles.append(f'<section class="print-page" id="{_place(page, "")}">{article}</section>')
    styles = [link for link in first.select("link[rel=stylesheet]") if not urlsplit(link["href"]).netloc]
    title = first.h1.get_text(strip=True).removesuffix("#") if first.h1 else ""
    for link in styles:
        link["href"] = f"{html.resolve().as_uri()}/{link['href']}"
    return PAGE.format(
        title=title, styles="".join(map(str, styles)), contents="".join(titles), articles="\n".join(articles)
    )


def _lead_into_one(article: Tag, page: str, pages: set[str], base: str) -> None:
    """Make places unique and lead links to them; a file beside the pages has no address on paper."""
    for element in article.find_all(id=True):
        element["id"] = _place(page, element["id"])
    for element in article.find_all(["a", "img"]):
        name = "src" if element.name == "img" else "href"
        address = urlsplit(element.get(name, ""))
        element.attrs.pop("loading", None)
        if address.scheme or address.netloc or not element.get(name):
            continue
        path = os.path.normpath(Path(page).parent / address.path) if address.path else f"{page}.html"
        inside = path.removesuffix(".html")
        if path.endswith(".html") and inside in pages:
            element[name] = f"#{_place(inside, address.fragment)}"
        elif element.name == "img":
            element[name] = f"{base}/{path}"
        else:
            element.unwrap()


def _place(page: str, fragment: str) -> str:
    return f"{page.replace('/', '-')}--{fragment}" if fragment else f"page-{page.replace('/', '-')}"


if __name__ == "__main__":
    try:
        print(print_book(load_study(sys.argv[1] if len(sys.argv) > 1 else "demo")))
    except InputError as error:
        sys.exit(f"error: {error}")
