"""What the words of a header mean, whoever typed them: one table of words in the languages of the field.

Words are compared without case, accents and punctuation. `*` stands for any letters, a phrase for words next to each
other; longer entries win. Words that are written together are taken apart (`CHESTLAT`, `Thoraxseitlich`), and scripts
without spaces are searched for their entries.
"""

import contextlib
import csv
import importlib.resources
import itertools
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

# Rows of (meaning, language or kind, words). Meanings of views: ap, pa, frontal, lateral, special (oblique, decubitus,
# lordotic), two (several in one). Of parts: chest, abdomen, bones (of the chest), other, anywhere (or unknown).
# Of kinds: made (from a film, for another purpose than reading it), test (of the machine). `mute` hides other entries;
# `beside` stands beside all of them, and serves to take apart what is written together; so do the words of `HINTS`.
TABLE_FILE = "words.csv"
# Beside `posture`, which says how somebody lay or sat: a lone `letter`, and `degrees`, `several` and `views` after a
# number or one another. With them a text gets the meanings `letter`, `angle` and `two`, see `_hints`.
ASIDE = ("beside", "posture", "letter", "degrees", "several", "views")
# What may be said of a view without saying which.
HINTS = frozenset({"letter", "angle"})
OBLIQUE_DEGREES = range(20, 130)

SIGNS = dict.fromkeys("°º", " deg ")
# Letters that keep a sign of their own when accents are taken away.
PLAIN = str.maketrans(SIGNS | {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
JOINED = re.compile(r"(?<=[^\W\d_]{2})\s*[/+&]\s*(?=[^\W\d_])")  # PA/L, but not P/A
CHINESE_JAPANESE_KOREAN = "[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
# Such signs, other letters, and numbers are words of their own where they stand together, as in `胸部LAT`.
WORD = re.compile(rf"{CHINESE_JAPANESE_KOREAN}+|(?:(?!{CHINESE_JAPANESE_KOREAN})[^\W\d_])+|\d+")
# In what systems write without saying so; the first that gives known words counts.
UNDECLARED = ("utf-8", "gb18030", "shift_jis", "euc-kr", "cp1251", "cp1250", "cp1254", "cp1253")
FEWEST_LETTERS = 3


def plain(text: str) -> str:
    """Lower case without accents, words between single spaces: `Tórax_P-A` becomes `torax p a`."""
    bare = unicodedata.normalize("NFKD", JOINED.sub(" and ", text.casefold().translate(PLAIN)))
    letters = "".join(mark for mark in bare if not unicodedata.combining(mark))
    return " ".join(WORD.findall(unicodedata.normalize("NFC", letters)))


@lru_cache(maxsize=10_000)
def meanings(text: str) -> frozenset[str]:
    """The meanings that a header's text names, all but `mute` and `beside`; empty where it says nothing known."""
    found = set()
    for reading in _readings(text):
        found = _found(plain(reading))
        if found - HINTS:
            break
    return frozenset(found - {"mute", *ASIDE} | found & HINTS)


def only_beside(text: str) -> bool:
    """Whether nothing but words that stand beside others is said, e.g. how somebody stood."""
    return all(_said(word, "beside", "posture") for word in plain(text).split())


def _readings(text: str) -> Iterator[str]:
    """The text as UTF-8, as it stands, and in other encodings, where a file did not say what it used."""
    for encoding in UNDECLARED if not text.isascii() else ():
        if encoding == UNDECLARED[1]:
            yield text
        with contextlib.suppress(UnicodeError):
            yield text.encode("latin-1").decode(encoding)
    yield text


def _found(text: str) -> set[str]:
    found: set[str] = set()
    for step in (_EXACT, _PHRASE, _STEM):
        if step == _STEM:
            found |= _hints(text)
            text = " ".join(_taken_apart(word, found) for word in text.split())
        for pattern, meaning in _patterns()[step]:
            text, times = pattern.subn(lambda match: f" . {'|'.join(match.groups(''))} ", text)
            if times:
                found.add(meaning)
    # What is left of compounds, e.g. `seitlich` of `Thoraxseitlich`, has its own meaning.
    rest = " ".join(part for part in re.split(r"[\s|]+", text) if len(part) >= FEWEST_LETTERS)
    return found | (_found(rest) if found and rest and len(rest) < len(text) else set())


def _hints(text: str) -> set[str]:
    """`two` for several views, `letter` for one at the start or the end, as in `Thorax P`, and `angle` for degrees that
    are not how somebody sat."""
    words = re.split(r"[\s|]+", text.strip(" |"))
    told = [word for word in words if not (word.isdigit() or _said(word, "beside", "posture"))]
    found = {"letter" for word in (*told[:1], *told[-1:]) if len(word) == 1 and _said(word, "letter", "views")}
    for number, word in itertools.pairwise(word for word in words if not _said(word, "beside")):
        if _said(word, "views") and (number in "23456789" or _said(number, "several")):
            found.add("two")
        degrees = number.isdecimal() and int(number) in OBLIQUE_DEGREES and _said(word, "degrees")
        if degrees and not any(_said(other, "posture") for other in words):
            found.add("angle")
    return found


def _said(word: str, *meanings: str) -> bool:
    """Whether a word has one of the meanings by the table, where a star ends a beginning."""
    starts = (word[:end] + "*" for end in range(FEWEST_LETTERS, len(word) + 1))
    return table().get(word) in meanings or any(table().get(start) in meanings for start in starts)


_EXACT, _PHRASE, _STEM = range(3)


@cache
def table() -> dict[str, str]:
    """{entry, plain but for its stars: meaning}."""
    entries = {}
    with (importlib.resources.files("cxrlib.intake") / TABLE_FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            entries |= {_entry(word): row["meaning"] for word in row["words"].split(",")}
    return entries


@cache
def _patterns() -> tuple[list[tuple[re.Pattern[str], str]], ...]:
    """Entries without a star, phrases with one, and single words with one, the longest first, each with its meaning.

    A star keeps what it covers, as a word of its own.
    """
    steps: tuple[list[tuple[re.Pattern[str], str]], ...] = ([], [], [])
    entries = (entry for entry, meaning in table().items() if meaning not in ASIDE)
    for entry in sorted(entries, key=lambda entry: (-len(entry.replace("*", "")), entry)):
        body = re.escape(entry).replace(r"\*", r"([^\s|]*)").replace(r"\ ", r"\s+")
        if not re.search(CHINESE_JAPANESE_KOREAN, entry):
            body = rf"(?<![^\s|]){body}(?![^\s|])"
        step = _EXACT if "*" not in entry else _PHRASE if " " in entry else _STEM
        steps[step].append((re.compile(body), table()[entry]))
    return steps


def _entry(word: str) -> str:
    return " ".join("*".join(plain(part) for part in piece.split("*")) for piece in word.split())


@cache
def _single_words() -> dict[str, str]:
    single = {entry.strip("*"): meaning for entry, meaning in table().items() if " " not in entry}
    return {entry: meaning for entry, meaning in single.items() if len(entry) > 1 or meaning == "beside"}


def _taken_apart(word: str, found: set[str]) -> str:
    """Empty if the word is made of known ones alone, one of them not tiny, whose meanings are added; else the word."""
    best: dict[int, list[str]] = {0: []}
    for end in range(1, len(word) + 1):
        for start in range(end):
            if start in best and word[start:end] in _single_words():
                parts = [*best[start], word[start:end]]
                if end not in best or len(parts) < len(best[end]):
                    best[end] = parts
    parts = best.get(len(word), [])
    if not any(len(part) > FEWEST_LETTERS or part in ("thx", "cxr", "klp") for part in parts):
        return word
    found.update(_single_words()[part] for part in parts)
    return ""
