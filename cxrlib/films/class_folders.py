"""Labels of films that lie in a folder per class, such as `positive/…` and `negative/…`, without a table."""

from collections.abc import Iterable, Mapping

from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS
from cxrlib.films.table_words import meaning_of

# Shorter names, and numbers, are those of patients and series as often as words for a label.
FEWEST_LETTERS = 3
NAMED = 5


def labels_by_folder(files: Iterable[str], words: Mapping[str, str], where: str) -> dict[str, str]:
    """{file: label} of the files that lie in a folder named by a label; of others nothing.

    Folders are taken at the highest level that has some of both labels, so that `clinic/positive/p1` and
    `clinic/negative/p2` go as well. `words` are a user's own, {word: label}, before the usual ones of many languages.
    Raises `InputError` where no level has both.
    """
    own = {word.casefold(): label for word, label in words.items()}
    parts = {file: file.replace("\\", "/").split("/")[:-1] for file in files}
    for level in range(max(map(len, parts.values()), default=0)):
        names = {folders[level] for folders in parts.values() if len(folders) > level}
        meanings = {name: _meaning(name, own) for name in names}
        if set(LABELS) <= set(meanings.values()):
            at_level = {file: meanings[folders[level]] for file, folders in parts.items() if len(folders) > level}
            return {file: label for file, label in at_level.items() if label}
    tops = sorted({folders[0] for folders in parts.values() if folders})
    found = ", ".join(tops[:NAMED]) + (f" and {len(tops) - NAMED} more" if len(tops) > NAMED else "")
    raise InputError(
        f"{where} no folders named by label (found {found or 'no folder'}); expected a table of labels, or folders "
        "such as positive and negative"
    )


def _meaning(name: str, own: Mapping[str, str]) -> str:
    known = len(name) >= FEWEST_LETTERS and not name.isdigit()
    return own.get(name.casefold()) or (meaning_of(name.replace("_", "-")) if known else "")
