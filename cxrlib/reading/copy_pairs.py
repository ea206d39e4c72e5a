"""The pairs of block C: are these two films of the same patient?

A synthetic film suspected of being a copy stands beside the real film it seems to be copied from. What readers say of
such pairs means little by itself, so that control pairs of real films come between them: two films of one patient,
where "yes" is right, and two most similar films of two patients, where "no" is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cxrlib.films.images import ImageSet, resize_images

# In the order in which they are drawn.
COPY_KINDS = ("flagged", "nearest", "same patient", "different patients")
RIGHT_ANSWERS = {"same patient": "yes", "different patients": "no"}
COARSE_PIXELS = 16

# Kind, then origin and row of the manifest of two films.
CopyPair = tuple[str, tuple[tuple[str, pd.Series], tuple[str, pd.Series]]]


@dataclass(frozen=True)
class Pool:
    """What may be shown of one label. `unseen` are films of patients whom the generator never saw, `seen` are the
    others; `synthetic` are all films of the generator, flagged ones included. A film is flagged by features if its
    `feature_distance` is at most `feature_threshold`, else by its pixels."""

    unseen: ImageSet
    seen: ImageSet
    synthetic: ImageSet
    feature_threshold: float | None = None


@dataclass(frozen=True)
class CopyPairs:
    """Draws pairs from a pool. `shown` are image ids of earlier blocks, which are avoided where that is possible."""

    pool: Pool
    shown: frozenset[str]
    random: np.random.Generator

    def draw(self, count: int) -> Iterator[CopyPair]:
        """So many pairs with a synthetic film and, of either control, half as many; fewer where films are missing."""
        yield from self._with_synthetic(count)
        yield from self._of_one_patient(count // 2)
        yield from self._of_two_patients(count // 2)

    def _with_synthetic(self, count: int) -> Iterator[CopyPair]:
        """Flagged films, drawn at random, in any case; then the unflagged ones that are nearest to a real film."""
        table = self.pool.synthetic.manifest
        partner = self._partners()
        known = partner.isin(self._seen_rows)
        flagged, shown = table["flagged"], table["image_id"].isin(self.shown)
        rank = pd.DataFrame({
            "unflagged": ~flagged, "shown": shown,
            "distance": np.where(flagged, self.random.random(len(table)), table[self._measure]),
        })[known & (flagged | ~shown)]  # fmt: skip
        for index in rank.sort_values(["unflagged", "shown", "distance"], kind="stable").index[:count]:
            pair = (("synthetic", table.loc[index]), ("real", self._seen_rows[partner[index]]))
            yield "flagged" if flagged[index] else "nearest", pair

    def _partners(self) -> pd.Series:
        """The image id of the real film beside each synthetic one: the nearest by what flagged it."""
        table = self.pool.synthetic.manifest
        if self._measure == "nearest_distance":
            return table["nearest_image_id"]
        # The manifest holds distances to five digits, the record all of the threshold's.
        threshold = np.inf if self.pool.feature_threshold is None else round(self.pool.feature_threshold, 5)
        by_pixels = table["flagged"] & (table["feature_distance"] > threshold)
        return table["nearest_feature_id"].where(~by_pixels, table["nearest_image_id"])

    @property
    def _measure(self) -> str:
        return "feature_distance" if "feature_distance" in self.pool.synthetic.manifest else "nearest_distance"

    @cached_property
    def _seen_rows(self) -> dict[str, pd.Series]:
        return {row["image_id"]: row for _, row in self.pool.seen.manifest.iterrows()}

    def _of_one_patient(self, count: int) -> Iterator[CopyPair]:
        """Two films of one patient, where patients have several."""
        table = self.pool.seen.manifest
        table = table[~table["image_id"].isin(self.shown)]
        patients = [films for _, films in table.groupby("patient_id") if len(films) > 1]
        for index in self.random.permutation(len(patients))[:count]:
            films = patients[index]
            first, second = self.random.permutation(len(films))[:2]
            yield "same patient", (("real", films.iloc[first]), ("real", films.iloc[second]))

    def _of_two_patients(self, count: int) -> Iterator[CopyPair]:
        """A film that the generator never saw beside the most similar one of another patient, as a synthetic film
        stands beside its nearest: pixels of a coarse grid are compared."""
        unseen, seen = self.pool.unseen.manifest, self.pool.seen.manifest
        unused = np.flatnonzero(~unseen["image_id"].isin(self.shown))
        if not len(unused):
            return
        coarse = _coarse(self.pool.seen.images)
        for index in self.random.permutation(unused)[:count]:
            row = unseen.iloc[index]
            others = np.flatnonzero(seen["patient_id"] != row["patient_id"])
            if len(others):
                distance = ((coarse[others] - _coarse(self.pool.unseen.images[index][None])) ** 2).mean(axis=(1, 2))
                yield "different patients", (("real", row), ("real", seen.iloc[others[np.argmin(distance)]]))


def _coarse(images: np.ndarray) -> np.ndarray:
    return resize_images(images, COARSE_PIXELS).astype(np.float32)
