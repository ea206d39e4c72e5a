"""A chapter as its notebook sees it: figures and tables by name, and the words that follow from the data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from cxrlib.chapters.words import glue_all, origin_sentence, show
from cxrlib.errors import InputError
from cxrlib.study import Study

Drawn = Figure | bytes


@dataclass(frozen=True)
class Chapter:
    """The exhibits of one chapter for one study; each is made from what the stages left in the study's folder.

    `figures` and `tables` name the functions that make them. `facts` gives what the chapter's prose glues, as
    `<prefix>.<name>`; every chapter glues the origin of its films besides.
    """

    study: Study
    prefix: str
    figures: Mapping[str, Callable[[Study], Drawn | None]]
    tables: Mapping[str, Callable[[Study], pd.DataFrame]]
    facts: Callable[[Study], Mapping[str, Any]]

    def figure(self, name: str) -> Image | None:
        """Draw a figure, keep it as `figures/<name>.png`, hand it to the notebook; None if there is nothing to show.

        Raises `InputError` for an unknown name.
        """
        drawn = self._named(self.figures, "figure", name)(self.study)
        return None if drawn is None else show(self.study, name, drawn)

    def table(self, name: str) -> pd.DataFrame:
        """A table as people read it; the notebook shows its texts in full. Raises `InputError` for an unknown name."""
        pd.options.display.max_colwidth = None
        return self._named(self.tables, "table", name)(self.study)

    def glue(self, **more: Any) -> None:
        """Glue everything that the prose of the chapter takes from the data, and what the notebook adds."""
        glue_all(self.prefix, **{"origin": origin_sentence(self.study), **self.facts(self.study), **more})

    def _named(self, exhibits: Mapping[str, Callable[[Study], Any]], kind: str, name: str) -> Callable[[Study], Any]:
        if name not in exhibits:
            raise InputError(f"{kind} `{name}`: this chapter has none of this name, only {', '.join(exhibits)}")
        return exhibits[name]
