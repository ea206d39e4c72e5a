"""The figure of Chapter 4: what each arm trains on."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cxrlib.chapters.style import SKY, VERMILION, drawing, named_lines


def composition(counts: pd.DataFrame, origin: str) -> Figure:
    """What each arm trains on: a bar per row of `counts` (index: arm), a stretch per column (count of films)."""
    with drawing(1, 1, 1.3 + 0.36 * len(counts), origin) as (figure, axes):
        ax, left = axes[0, 0], np.zeros(len(counts))
        hatches = ("", "////", "..") * 2
        colours = (SKY,) * 3 + (VERMILION,) * 3
        for column, colour, hatch in zip(counts.columns, colours, hatches, strict=False):
            values = counts[column].to_numpy(dtype=float)
            ax.barh(range(len(counts)), values, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.66)
            left += values
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
            for name, colour, hatch in zip(counts.columns, colours, hatches, strict=False)
        ]
        for index, total in enumerate(left):
            ax.text(total, index, f" {total:,.0f}", va="center", fontsize=8.5)
        named_lines(ax, list(counts.index), xlabel="films per epoch", xlim=(0, left.max() * 1.12))
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure
