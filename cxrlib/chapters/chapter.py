"""A chapter as its notebook sees it: figures and tables by name, and the words that follow from the data."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from cxrlib.artifacts import HEADLESS
from cxrlib.chapters.traces import Sources, trace
from cxrlib.chapters.words import ROLE_WORDS, as_said, origin_sentence, show
from cxrlib.errors import InputError
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.study import Study

Drawn = Figure | bytes
# A role of MyST, as in {eq}`law`, is no fact.
FACT = re.compile(r"\{(\w+)\}(?!`)")


@dataclass(frozen=True)
class Chapter:
    """The exhibits of one chapter for one study; each is made from what the stages left in the study's folder.

    `figures` and `tables` name the functions that make them. `facts` are functions that give what the chapter's prose
    takes from the data, by name, in the order in which the chapter's work makes them known. `notes` of a figure are its
    `finding`, in words, and what its `interactive` twin in the book draws. `sources` say from which files facts follow.
    """

    study: Study
    figures: Mapping[str, Callable[[Study], Drawn | None]]
    tables: Mapping[str, Callable[[Study], pd.DataFrame]]
    facts: Sequence[Callable[[Study], Mapping[str, Any]]]
    notes: Mapping[str, Callable[[Study], Mapping[str, Any]]] = field(default_factory=dict)
    sources: Sources = field(default_factory=dict)
    _made: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def figure(self, name: str) -> Image | None:
        """Draw a figure, keep it as `figures/<name>.png`, hand it to the notebook; None if there is nothing to show.

        Raises `InputError` for an unknown name.
        """
        drawn = self._named(self.figures, "figure", name)(self.study)
        if drawn is None:
            return None
        notes = self.notes.get(name, lambda study: {})(self.study)
        if "finding" in notes and not os.environ.get(HEADLESS):
            display(Markdown(f"**{notes['finding']}**"))
        return show(self.study, name, drawn, **notes)

    def table(self, name: str) -> pd.DataFrame:
        """A table as people read it; the notebook shows its texts in full. Raises `InputError` for an unknown name."""
        pd.options.display.max_colwidth = None
        table = self._named(self.tables, "table", name)(self.study)
        return table.replace(ROLE_WORDS).rename(index=ROLE_WORDS, columns=ROLE_WORDS)

    def say(self, text: str, **more: Any) -> Markdown:
        """Markdown with facts in the place of their `{names}`; `more` are those that the notebook itself has made.

        What stands in a live notebook is what the book prints; of a role that the study lacks nothing is said. Beside
        the words goes where their numbers come from. Raises `InputError` for an unknown fact.
        """
        wanted = set(FACT.findall(text)) - more.keys()
        known = {**self._facts(wanted), **more}
        missing = wanted - known.keys()
        absent = set(EVERY_ROLE) - set(self.study.roles)
        if any(absent & set(name.split("_")) for name in missing):
            return Markdown("")
        if missing:
            raise InputError(f"fact `{min(missing)}`: this chapter knows none of this name, only {', '.join(known)}")
        pieces = []
        for place, piece in enumerate(FACT.split(text.strip())):
            said = as_said(known[piece]) if place % 2 else piece
            found = trace(self.study, piece, said, self.sources) if place % 2 else None
            pieces.append({"text": said, **({"trace": found} if found else {})})
        return Markdown("".join(piece["text"] for piece in pieces), metadata={"pieces": pieces})

    def _facts(self, wanted: set[str]) -> dict[str, Any]:
        """As many facts as it takes to know those wanted: later functions may need work that is not done yet."""
        known = {"origin": origin_sentence(self.study), "summary": self.study.summary or self.study.title}
        for place, function in enumerate(self.facts):
            if wanted <= known.keys():
                break
            if place not in self._made:
                self._made[place] = function(self.study)
            known |= self._made[place]
        return known

    def _named(self, exhibits: Mapping[str, Callable[[Study], Any]], kind: str, name: str) -> Callable[[Study], Any]:
        if name not in exhibits:
            raise InputError(f"{kind} `{name}`: this chapter has none of this name, only {', '.join(exhibits)}")
        return exhibits[name]


def found(findings: Mapping[str, Callable[[Study], str]]) -> dict[str, Callable[[Study], Mapping[str, Any]]]:
    """Notes of figures that are a finding and nothing else, by figure."""
    return {name: lambda study, say=say: {"finding": say(study)} for name, say in findings.items()}
