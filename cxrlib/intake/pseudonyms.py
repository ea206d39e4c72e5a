"""Pseudonyms: keyed hashes that stand for a hospital's ids, and the secret key that makes them.

Whoever has the key can find the pseudonym of a known id; without it, nobody can, nor can anybody go back from a
pseudonym to an id by trying all of them, as with a plain hash. So the key stays with the hospital.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from cxrlib.errors import InputError

KEY_BYTES = 32
FEWEST_KEY_CHARACTERS = 32
FEWEST_DIFFERENT_CHARACTERS = 8
# 80 bits: among ten million images, two share a pseudonym with a probability below one in ten billion.
PSEUDONYM_DIGITS = 20
PADDING = " \0\t\r\n"


def default_key_file() -> Path:
    """One key for all of a person's imports, so that a patient has the same pseudonym in each of them."""
    try:
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cxr" / "pseudonyms.key"
    except RuntimeError:
        raise InputError("found no home folder of this account to keep the key in; name a file with --key") from None


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """Keyed hashes (HMAC-SHA-256, RFC 2104), cut to 80 bits, of ids of several kinds."""

    key: bytes

    def of(self, kind: str, text: str) -> str:
        """The pseudonym of an id: 20 hexadecimal digits. The same text has another one for another kind.

        Spaces and nulls around an id are DICOM's padding; capitals, and whether an accent is a sign of its own
        (Unicode's NFC and NFD), are a matter of who typed it: none of these counts, except in a file's name.
        """
        exact = text if kind == "file" else normalize("NFC", normalize("NFC", text.strip(PADDING)).casefold())
        message = f"{kind}\0{exact}".encode("utf-8", "surrogateescape")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]

    @property
    def check_value(self) -> str:
        """By which a key is known again, and nothing else."""
        return self.of("key check", "")


def load_pseudonyms(key_file: Path, outside: tuple[Path, ...], *, make: bool = True) -> Pseudonyms:
    """Read the key, or make it on first use (mode 0600, all at once, also when two commands start together).

    `outside` are the folders that must not hold it; without `make` it has to be there. Raises `InputError` for a key
    inside one of them, one that others may read, an empty, short or monotonous one, and one that is gone or can't be
    read or made.
    """
    place = key_file.expanduser().resolve()
    for folder in outside:
        if place.is_relative_to(folder.resolve()):
            raise InputError(
                f"{key_file}: the key lies inside {folder}, which is read or passed on; "
                "keep it elsewhere, e.g. leave --key out"
            )
    try:
        if not place.exists() and not make:
            raise InputError(
                f"{key_file}: the key is gone with which this import began; put it back from your copy of it, or "
                "choose an empty folder with --out and another --key to import afresh; nothing was changed"
            )
        if not place.exists():
            _make_key(place)
        return Pseudonyms(_read_key(place))
    except OSError as error:
        raise InputError(f"{key_file}: the key can't be read or made: {error.strerror or error}") from None


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may open; one that is there keeps its mode."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _make_key(place: Path) -> None:
    """Write the whole key under another name first, so that nobody ever reads half of it."""
    make_private_folder(place.parent)
    temporary = place.with_name(f".{place.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another command made one a moment ago: that one counts
            os.link(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)


def _read_key(place: Path) -> bytes:
    status = place.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{place}: the key is not an ordinary file; name another one with --key")
    if status.st_mode & 0o077:
        raise InputError(
            f"{place}: others may read the key (mode {status.st_mode & 0o777:04o}, expected 0600); "
            f"type `chmod 600 {place}`, and make a new key if somebody has read it"
        )
    with open(place, "rb") as file:
        key = file.read(4096).strip()
    if len(key) < FEWEST_KEY_CHARACTERS or len(set(key)) < FEWEST_DIFFERENT_CHARACTERS:
        raise InputError(
            f"{place}: found a key of {len(key)} characters, {len(set(key))} of them different; expected at least "
            f"{FEWEST_KEY_CHARACTERS} random ones, such as the 64 that this command makes where there is no key yet"
        )
    return key
