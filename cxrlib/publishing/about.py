"""The page About this study and the checklists: what the study file says, what the run knows, what is left to people.

`checklists.csv` has the items of CLAIM 2024, TRIPOD+AI and STARD-AI in words of our own, each with the topic that
answers it; `answers.csv` says where in the book a topic is and, with facts in braces, what there is to say. A topic
with a fact that nobody gave is left to the authors, and so is an item without a topic.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cxrlib.files import read_json
from cxrlib.publishing.settings import FilmsSheet
from cxrlib.study import Study

UNWRITTEN = "*to be written by the authors*"
NO_PATIENTS = "Does not apply: every film is simulated."
# The words of the page for the fields of the study file, in the order of the page.
FIELDS = {
    "intended_use": "intended use", "contact": "contact", "design": "design", "ethics": "ethics vote",
    "registration": "registration", "protocol": "protocol", "funding": "funding",
    "interests": "interests of the authors",
    "availability": "availability of data, code and models", "licence": "licence", "doi": "DOI",
}  # fmt: skip
GUIDELINES = {"CLAIM 2024": "claim", "TRIPOD+AI": "tripod", "STARD-AI": "stard"}
PAGES = {
    "about": "About this study", "cards": "Model cards and data sheets", "paper": "The paper",
    "provenance": "Provenance", "tables": "What the tables hold",
}  # fmt: skip
# A role in words: CLAIM advises against "validation", which many read as a test.
ROLE_WORDS = {"training": "training", "validation": "tuning", "hospital": "hospital", "external": "second hospital"}


def about_sentences(study: Study, folder: Path) -> dict[str, str]:
    """Markdown for the pages `about.md` and `checklists.md`; `folder` holds the pages and chapters that are linked."""
    given = facts(study)
    fields = [
        [words, plain(given.get(name) or getattr(study.about, name)) or UNWRITTEN] for name, words in FIELDS.items()
    ]
    answers = {row["topic"]: row for row in _rows("answers")}
    items = [(row, _answer(answers.get(row["topic"]), given, folder)) for row in _rows("checklists")]
    tables = {name: [(row, said) for row, said in items if row["guideline"] == name] for name in GUIDELINES}
    return {
        "about_authors": "\n".join(_authors(study)) or UNWRITTEN,
        "about_facts": table("What the study file says", "about-facts", ["asked", "in the authors' words"], fields),
        "citation": citation(study),
        "checklist_counts": table(
            "Items that are answered, and items that are left", "checklist-counts",
            ["guideline", "items", "answered", "to be written by the authors"],
            [[name, str(len(rows)), *map(str, _counts(rows))] for name, rows in tables.items()],
        ),
        **{f"checklist_{GUIDELINES[name]}": _checklist(rows, name) for name, rows in tables.items()},
    }  # fmt: skip


def facts(study: Study) -> dict[str, str]:
    """What the study file and finished stages say, by the names that `answers.csv` has in braces; unknown is empty."""
    about, nobody = study.about, NO_PATIENTS if all(map(study.data.simulated, study.roles)) else ""
    own = about.films.get("hospital", FilmsSheet())
    made = read_json(study.results.provenance) if study.results.provenance.exists() else {"commit": "", "packages": {}}
    packages = [f"{name} {made['packages'][name]}" for name in ("cxrlib", "torch", "scikit-learn") if made["packages"]]
    balanced = [f"`{arm}`" for arm in study.classifier_arms if arm in ("oversampled", "class-weighted")]
    weights = {"imagenet": "weights learned from photographs (ImageNet)", "none": "random weights"}
    runs = study.classifier.seeds
    return {
        **{name: str(getattr(about, name)) for name in FIELDS},
        **{name: getattr(own, name) or nobody for name in FilmsSheet.model_fields},
        **{name: getattr(about, name) or nobody for name in ("ethics", "design")},
        **_counted(study),
        "no_patients": nobody,
        "endpoint": _endpoint(study),
        "arms": str(len(study.classifier_arms)),
        "commit": f"Commit `{made['commit'][:12]}`." if made["commit"] else "",
        "sources": " ".join(f"{ROLE_WORDS[role].capitalize()}: {dataset(study, role)}." for role in study.roles),
        "sizes": " and ".join(f"{size} pixels" for size in study.image_sizes),
        "folds": str(study.data.folds),
        "network": study.classifier.network,
        "software": ", ".join(packages),
        "weights": weights.get(study.classifier.weights, "weights from a file"),
        "start": "generators of the public films" if study.gan.initialise_from == "public" else "random weights",
        "runs": f"{runs} run{'s' if runs > 1 else ''}",
        "external": "A second hospital, to which nothing is fitted." if "external" in study.roles else
        "The hospital's films, from another place than the public ones; there is no second hospital.",
        "updating": "The arm `threshold-moved` sets the baseline's threshold by hospital films of other patients."
        if "threshold-moved" in study.classifier_arms else "None was done.",
        "imbalance": f"{' and '.join(balanced)}: the labels in the proportions of the arm `synthetic`, as controls."
        if balanced else "Nothing beyond the arms themselves.",
    }  # fmt: skip


def _counted(study: Study) -> dict[str, str]:
    """Facts of the prepared and audited films, and of the table of patients; empty where there is no such record."""
    made = {"counts": "", "flow": "", "missing": "", "findings": ""}
    records = [study.results.data_record(role) for role in study.roles]
    if study.results.audit_record.exists() and all(record.exists() for record in records):
        used = read_json(study.results.audit_record)["used"]
        films, patients = (sum(used[role][key] for role in study.roles) for key in ("images_used", "patients"))
        listings = [read_json(record) for record in records]
        missing = sum(record["missing"] for record in listings)
        unused = sum(len(record["unreadable"]) for record in listings) - missing
        made["counts"] = " ".join(
            f"{ROLE_WORDS[role].capitalize()}: {found['images_used']:,} films of {found['patients']:,} patients, "
            f"{found['by_label']['positive']:,} films positive."
            for role, found in used.items()
        )
        made["flow"] = f"{films:,} films of {patients:,} patients are used."
        made["missing"] = f"{missing:,} listed films are missing and {unused:,} can't be used; nothing is filled in."
    levels = study.results.table("demographics")
    if levels.exists():
        with open(levels, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if (row["role"], row["variable"]) == ("hospital", "finding")]
        known = [row["level"] for row in rows if row["level"] != "not known" and row["films_negative"] not in ("0", "")]
        made["findings"] = f"Negative films of the hospital: {', '.join(known)}." if known else ""
    return made


def _endpoint(study: Study) -> str:
    declared = study.endpoint
    if declared is None:
        return ""
    named = [measure.replace("roc_auc", "area under the ROC curve").replace("_", " ") for measure in declared.measures]
    less = f"`{declared.arm}` less that of `{declared.reference}`"
    return f"Declared before a hospital film was opened: {' and '.join(named)} of {less}."


def dataset(study: Study, role: str) -> str:
    """What the book calls the films of a role; of a private one no folder is named."""
    unnamed = "" if study.publishable(role) else "the hospital's films"
    return " + ".join(dict.fromkeys(source.dataset(unnamed) for source in study.data.sources(role)))


def _rows(name: str) -> list[dict[str, str]]:
    with open(Path(__file__).parent / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _answer(answer: dict[str, str] | None, given: dict[str, str], folder: Path) -> str:
    """What there is to say to an item, with links; empty where it is the authors' to write."""
    if answer is None or not all(given[name] for name in re.findall(r"\{(\w+)\}", answer["said"])):
        return ""
    said = plain(answer["said"].format_map(given))
    links = "; ".join(_link(place.strip(), folder) for place in answer["where"].split(";") if place.strip())
    return f"{said} {links}".strip()


def _link(place: str, folder: Path) -> str:
    """A link to a page or to a heading of it, e.g. `05_results#The answer`; without that heading, to the page."""
    page, _, heading = place.partition("#")
    file = f"{page}.md" if page in PAGES else f"chapters/{page}.ipynb"
    name = PAGES.get(page, f"Chapter {page[:2].lstrip('0')}")
    if heading and heading in _headings(folder / file):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        return f"[{name}, {heading}]({file}#{slug})"
    return f"[{name}]({file})"


def _headings(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text and file.suffix == ".ipynb":
        cells = read_json(file)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.findall(r"^#+ (.+?)\s*$", text, flags=re.MULTILINE)


def _checklist(rows: list[tuple[dict[str, str], str]], name: str) -> str:
    lines = [[row["item"], row["asks"], said or UNWRITTEN] for row, said in rows]
    caption, header = f"{name}, item by item, in words of our own", ["item", "asks for", "where it is said"]
    return table(caption, f"checklist-{GUIDELINES[name]}", header, lines, "8 32 60")


def _counts(rows: list[tuple[dict[str, str], str]]) -> tuple[int, int]:
    found = Counter(bool(said) for _, said in rows)
    return found[True], found[False]


def _authors(study: Study) -> Iterator[str]:
    for author in study.about.authors:
        orcid = f" ([ORCID](https://orcid.org/{author.orcid}))" if author.orcid else ""
        yield f"- {plain(author.name)}{orcid}{', ' + plain(author.affiliation) if author.affiliation else ''}"


def citation(study: Study) -> str:
    """How to cite the study, as a block of BibTeX."""
    about = study.about
    entries = {
        "title": study.title, "author": " and ".join(author.name for author in about.authors),
        "year": str(about.year or ""), "doi": about.doi, "note": f"Study `{study.name}`, made with cxrlib",
    }  # fmt: skip
    lines = [f"  {key} = {{{re.sub(r'[{}`]', '', text)}}}," for key, text in entries.items() if text]
    return "\n".join(["```bibtex", f"@misc{{{study.name},", *lines, "}", "```"])


def plain(text: str) -> str:
    """Words of a study file as one line that neither ends a cell of a table nor begins HTML or a substitution."""
    escaped = re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", " ".join(text.split()))
    return escaped.replace("|", "\\|").replace("{{", "{ {")


def table(caption: str, name: str, header: list[str], rows: list[list[str]], widths: str = "auto") -> str:
    """A captioned table of Markdown; `widths` are those of its columns, in per cent."""
    return f":::{{table}} {caption}\n:name: {name}\n:widths: {widths}\n\n{lines_of_table(header, rows)}\n:::"


def lines_of_table(header: list[str], rows: list[list[str]], align: str = "---") -> str:
    """A table of Markdown; `align` is that of all columns but the first."""
    rule = ["---", *[align] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))
