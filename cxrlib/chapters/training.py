"""How the training of several networks went: the figure that Chapters 2 and 4 share."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.chapters.style import arm_look, drawing, legend_below


def training_curves(
    logs: Mapping[str, pd.DataFrame], x: str, quantities: Mapping[str, str], x_name: str, origin: str
) -> Figure:
    """One panel per quantity (column → name), one line per log; `x` is the column along the horizontal axis.

    The bold line is the running mean over a twelfth of the log, the faint one the log itself.
    """
    with drawing(1, len(quantities), 2.9, origin) as (figure, axes):
        for ax, (column, name) in zip(axes[0], quantities.items(), strict=True):
            for index, (log_name, log) in enumerate(logs.items()):
                colour, line, _ = arm_look(log_name, index)
                if column in log:
                    known = log[[x, column]].dropna()
                    smooth = known[column].rolling(max(1, len(known) // 12), center=True, min_periods=1).mean()
                    ax.plot(known[x], known[column], color=colour, linewidth=0.6, alpha=0.35)
                    ax.plot(known[x], smooth, color=colour, linestyle=line, label=log_name)
            ax.set(xlabel=x_name, title=name)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        legend_below(figure, axes[0, 0])
    return figure
