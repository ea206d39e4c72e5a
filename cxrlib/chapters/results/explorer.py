"""One threshold, moved by hand: what it does to the answers of a classifier, and where it lies on the curves.

In a live notebook a slider; in a chapter that nobody watches (run headless, for the book) the same picture at one
threshold, and no widget.
"""

import io
import os
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Image

from cxrlib.artifacts import HEADLESS
from cxrlib.chapters import style
from cxrlib.chapters.results import curves as results_curves
from cxrlib.chapters.results.interactive import thresholds
from cxrlib.chapters.words import origin, show
from cxrlib.errors import InputError
from cxrlib.evaluation.ranking import curve_points
from cxrlib.study import Study

PARTED = 100


class ThresholdView:
    """The answers of one classifier at any threshold.

    `labels` are 0 or 1 and `p_positive` probabilities, both (N,). With `folds` (N,), each of which has a model of its
    own, every model has its curves, since films are ranked only where the same model judged them. Raises `InputError`
    unless both labels are there.
    """

    def __init__(self, labels: np.ndarray, p_positive: np.ndarray, films: str, folds: np.ndarray | None = None) -> None:
        self._labels, self._p = np.asarray(labels, dtype=np.int64), np.asarray(p_positive, dtype=float)
        self._origin = films
        if set(self._labels.tolist()) != {0, 1}:
            raise InputError(
                f"threshold: found films of the labels {sorted(set(self._labels.tolist()))}, expected both"
            )
        parts = np.zeros(len(self._labels), int) if folds is None else np.asarray(folds)
        rows = [parts == part for part in np.unique(parts)]
        self._rows = [chosen for chosen in rows if len(set(self._labels[chosen].tolist())) == 2]
        self._models = [curve_points(self._labels[chosen], self._p[chosen]) for chosen in self._rows]

    def counts(self, threshold: float, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """[[true positive, false negative], [false positive, true negative]]: positive from `threshold` upwards."""
        called, labels = self._p[rows] >= threshold, self._labels[rows]
        return np.array([[int((called == answer)[labels == label].sum()) for answer in (1, 0)] for label in (1, 0)])

    def figure(self, threshold: float) -> Any:
        """The counts, and the threshold's place on the ROC and precision–recall curves."""
        counts = np.stack([self.counts(threshold, rows) for rows in self._rows])
        return results_curves.operating_point(self._models, counts, threshold, self._origin)

    def picture(self, threshold: float) -> bytes:
        """The figure as a PNG, drawn lightly enough to follow a hand."""
        buffer = io.BytesIO()
        with style.style():
            self.figure(threshold).savefig(buffer, format="png", dpi=96, metadata={"Software": None})
        return buffer.getvalue()


class ThresholdSlider:
    """A slider over a `ThresholdView`. Display its `box`; `picture.value` and `words.value` follow the slider."""

    def __init__(self, view: ThresholdView, start: float = 0.5) -> None:
        import ipywidgets

        self.view = view
        self.slider = ipywidgets.FloatSlider(
            value=start, min=0, max=1, step=1 / PARTED, description="threshold", readout_format=".2f",
            layout=ipywidgets.Layout(width="480px"),
        )  # fmt: skip
        self.picture = ipywidgets.Image(format="png")
        self.words = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.slider, self.words, self.picture])
        self.slider.observe(lambda change: self._move(change["new"]), names="value")
        self._move(start)

    def _move(self, threshold: float) -> None:
        (found, missed), (alarms, cleared) = self.view.counts(threshold).tolist()
        self.words.value = (
            f"From {threshold:.2f} upwards a film is called positive: <b>{found}</b> of {found + missed} positives are "
            f"found, <b>{missed}</b> missed; <b>{alarms}</b> of {alarms + cleared} negatives are false alarms."
        )
        self.picture.value = self.view.picture(threshold)


def threshold_explorer(study: Study, predictions: pd.DataFrame, arm: str, seed: int = 0, role: str = "hospital") -> Any:
    """A slider over the answers of one arm and seed, or, headless, the same picture at one half; to be displayed.

    `predictions` as from `gather_predictions`. The picture is kept as figure `threshold`; it holds counts and curves,
    and no row of a patient.
    """
    rows = predictions[(predictions["arm"] == arm) & (predictions["seed"] == seed) & (predictions["role"] == role)]
    labels = (rows["label"] == "positive").to_numpy(np.int64)
    view = ThresholdView(labels, rows["p_positive"].to_numpy(), origin(study, role), rows["fold"].to_numpy(str))
    picture: Image = show(study, "threshold", view.figure(0.5), interactive=thresholds(predictions, role))
    return picture if os.environ.get(HEADLESS) else ThresholdSlider(view).box
