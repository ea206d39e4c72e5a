"""Image sets: a manifest and one uint8 array of films, mapped from disk by every stage."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.files import atomic_path, read_json
from cxrlib.films.manifest import read_manifest_csv, read_text_table
from cxrlib.reproducibility import available_cores

if TYPE_CHECKING:
    from cxrlib.study import Study

MASK_KINDS = ("lungs", "opacities")
ITEMS_IN_FLIGHT = 256

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageSet:
    """Films and their table: `images` is uint8 (N, size, size), row i belonging to row i of `manifest`.

    `images` may be mapped from disk and is then read-only.
    """

    manifest: pd.DataFrame
    images: np.ndarray

    def __post_init__(self) -> None:
        if len(self.manifest) != len(self.images):
            raise InputError(
                f"image set: {len(self.manifest)} rows but {len(self.images)} images; make it again with --force"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,): 0 negative, 1 positive."""
        return (self.manifest["label"] == "positive").to_numpy(np.int64)

    def select(self, chosen: np.ndarray | pd.Series | Sequence[int]) -> "ImageSet":
        """The rows of a boolean mask or of indices, as a new set (its images are copied into memory)."""
        chosen = np.asarray(chosen)
        indices = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return ImageSet(self.manifest.iloc[indices].reset_index(drop=True), np.asarray(self.images[indices]))


def load_image_set(study: "Study", role: str, size: int, *, audited: bool = True) -> ImageSet:
    """The films of a role at one of `study.image_sizes`, without the copies that the audit excluded.

    `audited=False` gives every prepared film, for the audit itself. Raises `InputError` if the films were not prepared,
    or not audited since.
    """
    manifest = _prepared_manifest(study, role)
    films = ImageSet(manifest, _map_array(study.results.images(role, size)))
    kept = _kept_rows(study, role, manifest) if audited else None
    return films if kept is None else films.select(kept)


def load_manifest(study: "Study", role: str) -> pd.DataFrame:
    """The table of a role's films, without the copies that the audit excluded; raises as `load_image_set`."""
    manifest = _prepared_manifest(study, role)
    kept = _kept_rows(study, role, manifest)
    return manifest if kept is None else manifest[kept].reset_index(drop=True)


def films_identity(study: "Study", role: str, size: int) -> dict[str, str]:
    """What determines a role's films at a size, for the records of stages that read them: hashes of the manifest, of
    the images and of the list of excluded films. Raises as `load_image_set`."""
    prepared = _prepared_record(study, role)
    if str(size) not in prepared["images_sha256"]:
        raise InputError(
            f"{study.results.data(role)}: no films of {size} pixels; run `cxr check {study.name} --force` to make them"
        )
    return {
        "manifest_sha256": prepared["manifest_sha256"],
        "images_sha256": prepared["images_sha256"][str(size)],
        "excluded_sha256": _audit(study, role)["excluded_sha256"][role],
    }


def _prepared_record(study: "Study", role: str) -> dict[str, Any]:
    if not study.results.data_record(role).exists():
        raise InputError(
            f"{study.results.data(role)}: the {role} films are not prepared; run `cxr check {study.name}` first"
        )
    return read_json(study.results.data_record(role))


def _prepared_manifest(study: "Study", role: str) -> pd.DataFrame:
    _prepared_record(study, role)
    return read_manifest_csv(study.results.manifest(role))


def _audit(study: "Study", role: str) -> dict[str, Any]:
    """The record of the audit; raises `InputError` if there is none, or if it saw other films of this role."""
    path, command = study.results.audit_record, f"cxr check {study.name}"
    if not path.exists():
        raise InputError(f"{path}: not there: the films were not searched for copies; run `{command}` first")
    audit = read_json(path)
    if audit["inputs"][role]["manifest_sha256"] != _prepared_record(study, role)["manifest_sha256"]:
        raise InputError(f"{path}: the {role} films were prepared anew since the audit; run `{command} --force`")
    return audit


def _kept_rows(study: "Study", role: str, manifest: pd.DataFrame) -> np.ndarray | None:
    """bool (N,): the films that the audit left in; None where that is all of them, so that arrays stay mapped."""
    excluded = _audit(study, role)["excluded"][role]
    return ~manifest["image_id"].isin(excluded).to_numpy() if excluded else None


def load_synthetic(
    study: "Study", label: str, fold: str, size: int, *, flagged: bool = False, rejected: bool = True
) -> ImageSet:
    """The synthetic films of a label and fold, resized to `size` if made at another resolution.

    Without those flagged as too near to a film that the generator was trained on, unless `flagged` asks for all; with
    those that readers rejected, unless `rejected` is False, as it is where classifiers learn. The manifest has the
    columns image_id, label, seed, truncation, generator_sha256, nearest_image_id, nearest_distance, nearest_feature_id,
    feature_distance, flagged (bool). Raises `InputError` if they were not made.
    """
    if not study.results.synthetic_record(label, fold).exists():
        raise InputError(f"{study.results.synthetic(label, fold)}: no synthetic films; make them first")
    folder = study.results.synthetic(label, fold)
    manifest = read_text_table(folder / "manifest.csv")
    for column in {"truncation", "nearest_distance", "feature_distance"} & set(manifest.columns):
        manifest[column] = pd.to_numeric(manifest[column])
    manifest["flagged"] = manifest.get("flagged", pd.Series("False", manifest.index)) == "True"
    films = ImageSet(manifest, _map_array(folder / "images.npy"))
    left_out = manifest["image_id"].isin([] if rejected else rejected_ids(study, label, fold))
    if not flagged:
        left_out |= manifest["flagged"]
    if left_out.any():
        films = films.select(~left_out)
    return films if films.images.shape[1] == size else ImageSet(films.manifest, resize_images(films.images, size))


def count_synthetic(study: "Study", label: str, fold: str) -> int:
    """How many synthetic films of a label and fold classifiers learn from: neither flagged nor rejected by readers."""
    manifest = read_text_table(study.results.synthetic(label, fold) / "manifest.csv")
    left_out = manifest["image_id"].isin(rejected_ids(study, label, fold))
    if "flagged" in manifest:
        left_out |= manifest["flagged"] == "True"
    return int((~left_out).sum())


def rejected_ids(study: "Study", label: str, fold: str) -> list[str]:
    """The synthetic films of a label and fold that readers rejected; none unless the study excludes them.

    Raises `InputError` where it does and the readers' verdict is not there.
    """
    if not study.synthesis.exclude_rejected:
        return []
    path = study.results.rejected(study.review.protocol)
    if not study.results.rejected_record(study.review.protocol).exists():
        raise InputError(f"{path}: not there: readers have not decided yet; run `cxr reject-films {study.name}` first")
    table = read_text_table(path)
    return table[(table["label"] == label) & (table["fold"] == fold)]["image_id"].tolist()


def masks_path(study: "Study", role: str, size: int, kind: str) -> Path:
    """Where the masks of a role lie; `kind` is `lungs` or `opacities`."""
    return study.results.data(role) / f"{kind}-{size}.npy"


def load_masks(study: "Study", role: str, size: int, kind: str, *, audited: bool = True) -> np.ndarray | None:
    """Masks of a role's films: uint8 0/1 (N, size, size), rows as in `load_image_set`; None where none is known.

    `kind` is "lungs" (all 0 where a film has no mask) or "opacities" (simulated films only).
    """
    if kind not in MASK_KINDS:
        raise ValueError(f"kind: found {kind!r}, expected one of {', '.join(MASK_KINDS)}")
    path = masks_path(study, role, size, kind)
    if not path.exists():
        return None
    kept = _kept_rows(study, role, _prepared_manifest(study, role)) if audited else None
    return _map_array(path) if kept is None else _map_array(path)[kept]


def resize_images(images: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (N, S, S) to (N, size, size), with PIL's bilinear filter (which averages when it shrinks)."""
    resized = np.empty((len(images), size, size), np.uint8)
    for index, image in enumerate(images):
        resized[index] = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    return resized


class PlacedArray:
    """A uint8 .npy file whose items are written in any order, by several processes, at `offset` + i * item bytes."""

    def __init__(self, path: Path, file: BinaryIO, item_shape: tuple[int, ...]) -> None:
        self.path, self._file, self._item_shape = path, file, item_shape
        self._write_header(0)
        self.offset = file.tell()

    def put(self, index: int, item: np.ndarray) -> None:
        """Write an item to its place."""
        if item.shape != self._item_shape or item.dtype != np.uint8:
            raise ValueError(f"found {item.dtype} {item.shape}, expected uint8 {self._item_shape}")
        self._file.seek(self.offset + index * item.size)
        self._file.write(np.ascontiguousarray(item).tobytes())

    def keep(self, items: Sequence[int]) -> None:
        """Close the gaps between the items that count (ascending), and put their number in the header."""
        item_bytes = math.prod(self._item_shape)
        for new, old in enumerate(items):
            if new != old:
                self._file.seek(self.offset + old * item_bytes)
                item = self._file.read(item_bytes)
                self._file.seek(self.offset + new * item_bytes)
                self._file.write(item)
        self._file.truncate(self.offset + len(items) * item_bytes)
        self._file.seek(0)
        self._write_header(len(items))

    def _write_header(self, items: int) -> None:
        """numpy pads it so that the first axis can grow."""
        facts = {"descr": "|u1", "fortran_order": False, "shape": (items, *self._item_shape)}
        np.lib.format.write_array_header_1_0(self._file, facts)


@contextmanager
def placed_array(path: Path, item_shape: tuple[int, ...]) -> Iterator[PlacedArray]:
    """An array to be filled: nothing appears at `path` unless the block ends well; it has the items told to `keep`."""
    with atomic_path(path) as temporary, open(temporary, "w+b") as file:
        yield PlacedArray(temporary, file, item_shape)


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Results in the order of the items, from one thread a core; memory holds at most a few hundred results.

    For work outside the interpreter's lock, such as hashing or decoding large images; many small films are read by
    `film_reading`. PIL's warnings about odd files are silenced, except that an image of suspiciously many pixels
    becomes an error.
    """
    with ThreadPoolExecutor(available_cores()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(items), ITEMS_IN_FLIGHT):
            yield from pool.map(function, items[start : start + ITEMS_IN_FLIGHT])


def _map_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}; make it again with --force") from None
