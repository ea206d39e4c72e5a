"""The numbers of the logs and the sample sheets once more, as an event file for TensorBoard."""

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxrlib.errors import InputError

TAGS = {
    "loss_generator": "loss/generator",
    "loss_discriminator": "loss/discriminator",
    "r1": "loss/r1",
    "path_length": "loss/path length",
    "real_sign": "signs/real",
    "generated_sign": "signs/generated",
    "strength": "augmentation/strength",
    "kid": "snapshots/kid",
    "recall": "snapshots/recall",
    "nearest_pair": "snapshots/nearest pair",
    "seconds_per_kimg": "speed/seconds per 1000 images",
}


class TensorBoardLog:
    """One event file in a folder of its own; its steps are images shown.

    A resumed run would write some steps twice. It begins a new file instead, with the `rows` that the logs still have.
    Records are written at once, in this thread: `SummaryWriter` loses those that wait when a process is killed, and a
    full disk ends its thread, not the training. TensorBoard is slow to load and is imported here.
    """

    def __init__(self, folder: Path, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.folder = folder
        self._begin(rows)

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Begin anew with these rows, where training went back; the sheets so far are left out."""
        self.close()
        self._begin(rows)

    def _begin(self, rows: Iterable[Mapping[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, folder = Event, self.folder
        with self._writing():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._records = RecordWriter(open(folder / f"events.out.tfevents.{time.time():.0f}.cxr", "wb"))  # noqa: SIM115
            self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        for row in rows:
            self.add_row(row)

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Scalars of a row with `images`; empty values and names without a tag are left out."""
        from torch.utils.tensorboard.summary import scalar

        for name, tag in TAGS.items():
            if row.get(name) not in (None, ""):
                self._add(int(row["images"]), scalar(tag, float(row[name])))

    def add_sheet(self, images: int, sheet: np.ndarray) -> None:
        """A sheet of synthetic films, uint8 (H, W)."""
        from torch.utils.tensorboard.summary import image

        self._add(images, image("films", sheet, dataformats="HW"))

    def close(self) -> None:
        # What can't be written now was reported when it was added.
        with contextlib.suppress(OSError):
            self._records.close()

    def _add(self, images: int, summary: Any) -> None:
        with self._writing():
            self._records.write(self._event(wall_time=time.time(), step=images, summary=summary).SerializeToString())
            self._records.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{self.folder}: can't be written: {error.strerror or error}") from error
