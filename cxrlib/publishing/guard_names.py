"""Looking for ids and file names of private roles in texts, in whatever form a page writes them.

Case, accents, separators and the order of words don't count, nor do leading zeros and signs between thousands: a name
is found where its words stand side by side. One that is short, a small number, or a word of this program would be found
everywhere; such a name counts only where something names it as an id: a table's column or row called so or as the
hospital's own table calls it, a key or an attribute (`patient_id: 12`), `patient 12`; where it has letters and digits
and stands alone in a cell, or is read as a word; and where several numbers of a text or of one list are ids, more than
chance would have.

An id that a publishable role has too says nothing and is not searched.

What it can't find: ids that are translated, abbreviated, split over several cells, or drawn as pixels; one small
number in prose; small numbers of a hospital that counts its patients from one on.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from math import comb
from pathlib import PurePosixPath
from urllib.parse import unquote

STRONG_LENGTH, STRONG_DIGITS, LOOSE_LENGTH = 4, 7, 6
FEWEST_NUMBERS, CHANCE_TIMES, LEAST_CHANCE = 3, 4, 1e-4
KIND = r"(?:patient|image|film|file|case|subject|study|pseudonym)"
NUMBERED = r"(?:[ _-]?(?:id|ids|no|nr|number|name|names))?"
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
# As programs, style sheets and letters write signs.
ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,5})\}|x([0-9a-fA-F]{2})|0{0,4}([0-9a-fA-F]{2})(?![0-9a-fA-F]) ?)"
)
WORD = re.compile(r"[^\W\d_]+|\d+")
NUMBER, YEAR = re.compile(r"(?<![\w.,])\d{3,6}(?![\w.,]\d|\w)"), re.compile(r"(?:19|20)\d\d")
THOUSANDS = re.compile(r"(?<=\d)[,'\u2009\u202f ](?=\d{3}(?!\d))")
LIST = re.compile(r"(?<![\w.])\d{2,6}(?![\w.]*\w)(?:[\s,;|/\[\]()'\"]+\d{2,6}(?![\w.]*\w))+")
CELLS, SHORTEST_WORD = {"td", "th", "dt", "dd", "text"}, 3
# Scripts that are written without blanks, in which two characters are a name.
DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
DENSE_BLANK = re.compile(rf"(?<={DENSE.pattern}) (?={DENSE.pattern})")


class Names:
    """The ids and file names of a role, ready to be looked for."""

    def __init__(
        self,
        names: Iterable[str],
        *,
        shared: Iterable[str] = (),
        vocabulary: str = "",
        columns: Iterable[str] = (),
    ) -> None:
        """`shared` are names that publishable roles have too; `vocabulary` is a text whose words are nobody's id;
        `columns` are what the role's own table calls its columns of ids and files."""
        left_out = {_plain(name) for name in shared}
        self._name_of = {form: _plain(name) for name in names for form in _spellings(name)}
        plain = {form for form, name in self._name_of.items() if name not in left_out} - left_out - {""}
        common = _plain(vocabulary)
        self._dense = {name for name in plain if len(DENSE.findall(name)) >= 2}
        self._weak = {name for name in plain - self._dense if _is_weak(name) or _holds(common, name)}
        self._numbers = {name for name in self._weak if name.isdecimal() and 2 <= len(name) < STRONG_DIGITS}
        words = (name for name in self._weak if len(name) >= SHORTEST_WORD and _is_mixed(name))
        self._mixed = {name for name in words if not _holds(common, name)}
        strong = {name: tuple(WORD.findall(name)) for name in plain - self._weak - self._dense}
        # A name is looked up by its rarest word: "images" of "images/0417.png" would look up all of them, everywhere.
        frequency = Counter(word for words in strong.values() for word in set(words))
        self._by_word: dict[str, list[tuple[str, list[str]]]] = {}
        for name, words in strong.items():
            anchor = min(words, key=lambda word: (frequency[word], -len(word)), default="")
            self._by_word.setdefault(anchor, []).append((name, sorted(words)))
        own = "".join(f"|{re.escape(_plain(name))}" for name in columns if len(name) > 1)
        self._column = re.compile(rf"^\s*(?:(?:nearest[ _-])?{KIND}{NUMBERED}|filename|id{own})\s*$", re.I)
        key = rf"\b(?:(?:nearest_)?{KIND}{NUMBERED}{own})[\"']?"
        self._keyed = re.compile(rf"{key}\s*[:=#]\s*[\"'\[(]*([^\s\"'<>,;)\]}}]{{1,80}})", re.I)
        self._listed = re.compile(rf"{key}\s*[:=]\s*[\[({{]([^\])}}]{{1,4000}})", re.I)
        end = r"(?=[.:]?(?:[\s\"'<>,;)\]}]|$))"
        self._called = re.compile(
            rf"(?<!per )\b(?:patient{NUMBERED}{own})\.? #?([^\s\"'<>,;)\]}}]{{1,80}}?){end}", re.I
        )

    def found_in(self, text: str) -> set[str]:
        """The names that a text holds."""
        found: set[str] = set()
        for form in _forms(text):
            found.update(self._strong_in(form))
            found.update(self._numbers_in(form))
            if (joined := THOUSANDS.sub("", form)) != form:
                found.update(self._strong_in(joined))
            if self._dense:
                closed = DENSE_BLANK.sub("", form)
                found.update(name for name in self._dense if name in closed)
        found |= self._listed_numbers(_visible(text))
        if self._weak:
            found |= self._weak & {_plain(value) for value in self._named_values(text)}
        if self._mixed:
            found |= self._mixed & set(re.findall(r"[^\s\"'<>,;:.()\[\]{}=]+", _plain(_visible(text))))
        return {self._name_of[name] for name in found}

    def _strong_in(self, form: str) -> Iterator[str]:
        words = list(WORD.finditer(form))
        spelt = [word[0] for word in words]
        for place, word in enumerate(spelt):
            for name, wanted in self._by_word.get(word, ()):
                if len("".join(wanted)) < LOOSE_LENGTH or len(wanted) == 1:
                    if _holds(form[max(0, words[place].start() - len(name)) :][: 3 * len(name) + 2], name):
                        yield name
                elif _stands_at(form, words, spelt, place, wanted):
                    yield name

    def _numbers_in(self, form: str) -> set[str]:
        """Short numeric ids of which a text holds more than chance would have."""
        found: set[str] = set()
        numbers = {number for number in NUMBER.findall(form) if not YEAR.fullmatch(number)}
        for digits in range(3, STRONG_DIGITS):
            printed = {number for number in numbers if len(number) == digits}
            known = {name for name in self._weak if len(name) == digits and name.isdecimal()}
            expected = len(printed) * len(known) / 10**digits
            if len(printed & known) >= max(FEWEST_NUMBERS, CHANCE_TIMES * expected + FEWEST_NUMBERS):
                found |= printed & known
        return found

    def _listed_numbers(self, text: str) -> set[str]:
        """Ids of two to six digits of which a list has more than chance would, where about as many of the numbers
        between its least and its greatest are ids as anywhere there."""
        found: set[str] = set()
        for listed in LIST.findall(text):
            printed = {number.lstrip("0") for number in re.findall(r"\d+", listed)} - {""}
            known = printed & self._numbers
            if len(known) < FEWEST_NUMBERS:
                continue
            first, last = (int(end(printed, key=int)) for end in (min, max))
            density = sum(first <= int(name) <= last for name in self._numbers) / (last - first + 1)
            if _by_chance(len(known), len(printed), density) < LEAST_CHANCE:
                found |= known
        return found

    def _named_values(self, text: str) -> Iterator[str]:
        """Values that a table, a key or an attribute calls an id."""
        yield from self._keyed.findall(unescape(text))
        yield from self._called.findall(unescape(text))
        for listed in self._listed.findall(unescape(text)):
            yield from re.split(r"[\s,;\"']+", listed)
        if re.search("<[td]", text):
            reader = _Tables(self._column)
            reader.feed(text)
            yield from reader.named
            yield from filter(_is_mixed, reader.cells)
        yield from self._below_headers(re.sub(r"<[^<>]*>", "", unescape(text)).splitlines())

    def _below_headers(self, lines: list[str]) -> Iterator[str]:
        """Cells below a header that names ids: in lines of commas, and in columns that blanks keep in line."""
        commas: list[int] = []
        spans: list[tuple[int, int]] = []
        for line in lines:
            cells = [cell.strip(" \"'") for cell in re.split(r"[,;\t|]", line)]
            heads = [number for number, cell in enumerate(cells) if self._column.match(cell)] if len(cells) > 1 else []
            commas = heads or (commas if len(cells) > 1 else [])
            yield from (cells[number] for number in commas if number < len(cells))
            yield from cells if heads[:1] == [0] else ()
            # Printed tables keep at least two blanks between columns.
            is_row = re.search(r"\S {2,}\S|^ {2,}\S", line) or self._column.match(line)
            tokens = list(re.finditer(r"\S+(?: \S+)*", line)) if is_row else []
            named = [token.span() for token in tokens if self._column.match(token[0])]
            spans = named or (spans if tokens else [])
            for token in tokens:
                beside = token.start() and named[:1] == [tokens[0].span()]
                if beside or any(token.start() < last and token.end() > first for first, last in spans):
                    yield token[0]


def _stands_at(form: str, words: list[re.Match[str]], spelt: list[str], place: int, wanted: list[str]) -> bool:
    """Whether the wanted words, in any order, stand side by side around a place, with nothing but separators between
    them and no letter or digit directly before or behind."""
    count = len(wanted)
    for start in range(max(0, place - count + 1), min(place, len(spelt) - count) + 1):
        if sorted(spelt[start : start + count]) != wanted:
            continue
        part = words[start : start + count]
        first, last = part[0].start(), part[-1].end()
        alone = not form[first - 1 : first].isalnum() and not form[last : last + 1].isalnum()
        if alone and all(after.start() - before.end() <= 2 for before, after in pairwise(part)):
            return True
    return False


def names_of(file: str) -> set[str]:
    """What of a file's relative path could give it away: the path, its folders, its name with and without ending."""
    path = PurePosixPath(file.replace("\\", "/"))
    return {str(path), path.name, path.stem, *(part for part in path.parts[:-1] if part not in ("/", ".", ".."))}


def _spellings(name: str) -> set[str]:
    """How a name may be spelt: as it is, with umlauts as two letters, without leading zeros, without blanks, and, in
    scripts without blanks, with its two words the other way round."""
    plain, words = _plain(name), _plain(name).split()
    forms = {plain, _plain(unicodedata.normalize("NFC", name).casefold().translate(UMLAUTS))}
    if plain.isdecimal():
        forms.add(plain.lstrip("0"))
    joined = "".join(WORD.findall(plain))
    if len(joined) > LOOSE_LENGTH and joined != plain and not joined.isdecimal():
        forms.add(joined)
    if len(joined) > LOOSE_LENGTH and not joined.isdecimal():
        forms.add(plain[::-1])
    if len(words) == 2 and DENSE.search(plain):
        forms |= {"".join(words), "".join(reversed(words))}
    return forms


def _by_chance(known: int, printed: int, density: float) -> float:
    """The chance of so many ids, or more, among so many numbers of which each is an id by the chance `density`."""
    return sum(comb(printed, k) * density**k * (1 - density) ** (printed - k) for k in range(known, printed + 1))


def _is_mixed(name: str) -> bool:
    """Whether a name has letters and digits."""
    return bool(re.search(r"\d", name) and re.search(r"[^\W\d_]", name))


def _visible(text: str) -> str:
    """What people read or hear of a page: without its tags, but with its comments and the descriptions in its tags."""
    said = re.findall(r"\b(?:alt|title|aria-label)\s*=\s*[\"']([^\"']*)", text)
    return unescape(" ".join([re.sub(r"<[^<>]*>", " ", re.sub("<!--|-->", " ", text)), *said]))


def _is_weak(name: str) -> bool:
    return len(name) < STRONG_LENGTH or (
        sum(map(str.isdecimal, name)) < STRONG_DIGITS and not re.search(r"[^\W\d_]", name)
    )


def _holds(text: str, name: str) -> bool:
    """Whether a text holds a name as a whole word; a number as part of a decimal is none."""
    if name not in text:
        return False
    pattern = rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
    if name.isdecimal():
        pattern = rf"(?<![\d][.,]){pattern}(?![.,]\d)"
    return re.search(pattern, text) is not None


def _plain(text: str) -> str:
    """One case, no accents, one kind of dash and quote, single blanks, nothing invisible, 7.0 as 7."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    text = unicodedata.normalize("NFC", re.sub("[\u0300-\u036f\u00ad\u200b-\u200f\u2060\ufeff]", "", text))
    text = re.sub(r"(?<![\d.,])(\d+)\.0(?![.\d])", r"\1", text)
    text = re.sub("[-\u2010-\u2015\u2212]+", "-", text).replace("\u2019", "'")
    return re.sub(r"\s+", " ", text).strip()


def _forms(text: str) -> list[str]:
    """A text as it stands, without its escapes, and without its tags."""
    escaped = ESCAPE.sub(lambda code: chr(int(next(filter(None, code.groups())), 16)), text)
    unquoted = unquote(unescape(escaped))
    unquoted = unescape(unquoted).replace("\\/", "/").replace("\\_", "_")
    forms = [text, unquoted]
    if "<" in unquoted:
        forms.append(re.sub(r"<[^<>]*>", "", unquoted))
    return list(dict.fromkeys(_plain(form) for form in forms))


class _Tables(HTMLParser):
    """Cells of HTML tables, and those below a header that names ids."""

    def __init__(self, column: re.Pattern[str]) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.named: list[str] = []
        self._column = column
        self._row: list[str] | None = None
        self._columns: set[int] = set()
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._columns = set()
        elif tag in ("tr", "dl"):
            self._row = []
        elif tag in CELLS:
            self._cell = []
        self.named += [value for name, value in attrs if value and name[:5] == "data-" and self._column.match(name[5:])]

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in CELLS and self._cell is not None:
            cell, self._cell = " ".join("".join(self._cell).split()), None
            self.cells.append(cell)
            if self._row is not None:
                self._row.append(cell)
        elif tag in ("tr", "dl") and self._row:
            self.named += self._row if self._column.match(self._row[0]) else []
            self.named += [cell for number, cell in enumerate(self._row) if number in self._columns]
            self._columns |= {number for number, cell in enumerate(self._row) if self._column.match(cell)}
            self._row = None
