"""Looking for ids and file names of private roles in texts, in whatever form a page writes them.

An id is searched as a whole word, whatever its case and however it is escaped. One that is short, a small number, or a
word of the book's own pages would be found everywhere; such an id counts only where something names it as an id: a
table's column called so, a key or an attribute (`patient_id: 12`), or a table cell of its own with letters and digits.
An id that a publishable role has too says nothing and is not searched.

What it can't find: ids that are translated, abbreviated, split over several cells, or drawn as pixels; short base64
without a mark; plain numbers of few digits in prose.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote

STRONG_LENGTH, STRONG_DIGITS, BINARY_LENGTH = 4, 7, 7
KIND = r"(?:patient|image|film|file|case|subject|study|pseudonym)"
NAMED = re.compile(
    rf"^\s*(?:nearest[ _-])?{KIND}[ _-]?(?:id|ids|no|nr|number|name|names)?\s*$|^\s*(?:filename|id)\s*$", re.I
)
KEYED = re.compile(
    rf"\b(?:nearest_)?{KIND}(?:[ _-]?(?:id|no|nr|number|name))?[\"']?\s*[:=#]\s*[\"'\[(]*([^\s\"'<>,;)\]}}]{{1,80}})",
    re.I,
)
WORD = re.compile(r"[^\W_]+")


class Names:
    """The ids and file names of a role, ready to be looked for."""

    def __init__(self, names: Iterable[str], *, shared: Iterable[str] = (), vocabulary: str = "") -> None:
        """`shared` are names that publishable roles have too; `vocabulary` is the text of the book's own pages."""
        left_out = {_plain(name) for name in shared}
        plain = {_plain(name) for name in names} - left_out - {""}
        pages = _plain(vocabulary)
        self._weak = {name for name in plain if _is_weak(name) or _holds(pages, name)}
        strong = {name: WORD.findall(name) for name in plain - self._weak}
        # A name is looked up by its rarest word: "images" of "images/0417.png" would look up all of them, everywhere.
        frequency = Counter(word for words in strong.values() for word in set(words))
        self._by_word: dict[str, list[str]] = {}
        for name, words in strong.items():
            anchor = min(words, key=lambda word: (frequency[word], -len(word)), default="")
            self._by_word.setdefault(anchor, []).append(name)

    def found_in(self, text: str, *, binary: bool = False) -> set[str]:
        """The names that a text holds."""
        found: set[str] = set()
        for form in _forms(text, binary):
            words = set(WORD.findall(form))
            for word in words & self._by_word.keys():
                names = [name for name in self._by_word[word] if not binary or len(name) >= BINARY_LENGTH]
                found.update(name for name in names if _holds(form, name))
        if self._weak and not binary:
            found |= self._weak & {_plain(value) for value in _named_values(text, self._weak)}
        return found


def names_of(file: str) -> set[str]:
    """What of a file's relative path could give it away: the path, its folders, its name with and without ending."""
    path = PurePosixPath(file.replace("\\", "/"))
    return {str(path), path.name, path.stem, *(part for part in path.parts[:-1] if part not in ("/", ".", ".."))}


def _is_weak(name: str) -> bool:
    return len(name) < STRONG_LENGTH or (name.isdecimal() and len(name) < STRONG_DIGITS)


def _holds(text: str, name: str) -> bool:
    """Whether a text holds a name as a whole word; a number as part of a decimal is none."""
    if name not in text:
        return False
    pattern = rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
    if name.isdecimal():
        pattern = rf"(?<![\d][.,]){pattern}(?![.,]\d)"
    return re.search(pattern, text) is not None


def _plain(text: str) -> str:
    """One case, one kind of dash and quote, single blanks, nothing invisible."""
    text = re.sub("[\u00ad\u200b-\u200d\u2060\ufeff]", "", text.casefold())
    text = re.sub("[-\u2010-\u2015\u2212]+", "-", text).replace("\u2019", "'")
    return re.sub(r"\s+", " ", text).strip()


def _forms(text: str, binary: bool) -> list[str]:
    """A text as it stands, without its escapes, and without its tags."""
    if binary:
        return [_plain(text)]
    unquoted = unquote(unescape(re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)))
    unquoted = unescape(unquoted).replace("\\/", "/").replace("\\_", "_")
    forms = [text, unquoted]
    if "<" in unquoted:
        forms.append(re.sub(r"<[^<>]*>", "", unquoted))
    return list(dict.fromkeys(_plain(form) for form in forms))


def _named_values(text: str, weak: set[str]) -> Iterator[str]:
    """Values that a table, a key or an attribute calls an id."""
    yield from KEYED.findall(unescape(text))
    if "<t" in text:
        reader = _Tables()
        reader.feed(text)
        yield from reader.named
        yield from (cell for cell in reader.cells if re.search(r"\d", cell) and re.search(r"[^\W\d_]", cell))
    lines = text.splitlines()
    names = lines[0].split(",") if lines else []
    columns = [number for number, name in enumerate(names) if NAMED.match(name.strip("\"'"))]
    if columns and len(names) > 1:
        for line in lines[1:]:
            cells = line.split(",")
            yield from (cells[number].strip("\"'") for number in columns if number < len(cells))


class _Tables(HTMLParser):
    """Cells of HTML tables, and those below a header that names ids."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.named: list[str] = []
        self._row: list[str] | None = None
        self._columns: set[int] = set()
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._columns = set()
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = []
        self.named += [value for name, value in attrs if value and name[:5] == "data-" and NAMED.match(name[5:])]

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None and self._row is not None:
            self._row.append(" ".join("".join(self._cell).split()))
            self._cell = None
        elif tag == "tr" and self._row is not None:
            self.cells += self._row
            self.named += [cell for number, cell in enumerate(self._row) if number in self._columns]
            self._columns |= {number for number, cell in enumerate(self._row) if NAMED.match(cell)}
            self._row = None
