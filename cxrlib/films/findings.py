"""What films show beyond their label, in a few kinds that mean the same in every role.

`negative` may mean healthy lungs in one set and every other pneumonia in another, and then a classifier meets at the
hospital what it never saw. Findings are what people wrote down; of most public films nobody did, but their collection
says it of all films of a label, and a study file may repeat that (`findings`).
"""

import re
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from cxrlib.study import Study

NO_FINDING, COVID, PNEUMONIA, OTHER = "no finding", "COVID-19", "other pneumonia", "other finding"
NOT_KNOWN = "not known"
KINDS = (NO_FINDING, COVID, PNEUMONIA, OTHER)
# The first that fits counts; what fits none is another finding.
WORDS = {
    NO_FINDING: r"\b(no|without|kein\w*|ohne|sans|sin)\W+(\w+\W+)?(find|abnorm|patholog|befund|anomal|hallazgo)"
    r"|\bnormal|\bhealthy|unremarkable|unauff|^o\.?\s*b\.?$",
    COVID: r"covid|sars.?cov|corona",
    PNEUMONIA: r"pneumo(?!thora|mediast|perito)|\bsars\b|\bmers\b|influenza|varicella|legionel|klebsiel|strepto|"
    r"staphylo|mycoplasm|chlamyd|e\W?coli|bacteri|viral|fung|aspergill|tubercul|lipoid|h1n1|nocardi|herpes|infiltrat",
}


def kinds_of(findings: pd.Series) -> pd.Series:
    """The kind of each finding, one of `KINDS`; empty where nothing is written."""
    known = {text: _kind(str(text)) for text in findings.unique()}
    return findings.map(known)


def _kind(text: str) -> str:
    if not text.strip():
        return ""
    return next((kind for kind, words in WORDS.items() if re.search(words, text, re.IGNORECASE)), OTHER)


def known_findings(study: "Study", role: str, manifest: pd.DataFrame) -> pd.Series:
    """The finding of each film of a role: what its table says, else what the study file says of all films of its label;
    empty where neither does."""
    told = [
        study.data.source_of(role, image_id).finding_of(label)
        for image_id, label in zip(manifest["image_id"], manifest["label"], strict=True)
    ]
    return manifest["finding"].where(manifest["finding"].str.strip() != "", pd.Series(told, index=manifest.index))
