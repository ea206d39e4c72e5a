"""Figures of the data: what the films of each role are like."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cxrlib.figures.style import LINE_LOOKS, mark_origin, panels, style


def intensity_histograms(films: Mapping[str, np.ndarray], origin: str) -> Figure:
    """How often each grey level occurs, one line per set of films (uint8, any shape), in a legend.

    Borders of pure black or white can tower over everything else: peaks at either end are cut off.
    """
    figure, axes = panels(1, 1, 2.9)
    ax = axes[0, 0]
    with style():
        for (name, pixels), (colour, line, _) in zip(films.items(), LINE_LOOKS, strict=False):
            counts = np.bincount(np.asarray(pixels).ravel(), minlength=256).reshape(64, 4).sum(axis=1)
            percent = 100 * counts / max(counts.sum(), 1)
            ax.plot(np.arange(64) * 4 + 1.5, percent, color=colour, linestyle=line, label=name)
        ax.set(xlabel="grey level (0 black, 255 white)", ylabel="share of pixels (%)", xlim=(0, 255))
        inner = max(line.get_ydata()[4:-4].max() for line in ax.get_lines())
        ax.set_ylim(0, min(1.6 * inner, 1.05 * max(line.get_ydata().max() for line in ax.get_lines())))
        ax.legend()
        mark_origin(figure, origin)
    return figure
