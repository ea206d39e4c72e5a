"""`cxr compare`: studies side by side on one page: settings in which they differ, their films, and their results.

Only what a book may show is compared: counts and tables of results. Settings of a private role are not named.
"""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from cxrlib.errors import InputError
from cxrlib.files import read_json, write_text
from cxrlib.publishing.about import ROLE_WORDS, lines_of_table, plain
from cxrlib.publishing.cards import estimates
from cxrlib.publishing.guard import check_counts
from cxrlib.study import Study

# What is compared, by its column of `table2`, at the threshold of one half.
MEASURES = {
    "roc_auc": "area under the ROC curve", "balanced_accuracy": "balanced accuracy",
    "recall_positive": "sensitivity", "recall_negative": "specificity",
}  # fmt: skip
OF_THE_STUDY = ("name", "title", "summary", "about")
PRIVATE = "(private)"
NONE = "–"
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0 2rem; }
th, td { border-bottom: 1px solid #8888; padding: .3rem .8rem; text-align: left; vertical-align: top; }
"""


def compare(studies: Sequence[Study]) -> dict[str, Any]:
    """Settings that differ, films and results, each a row of values in the order of the studies.

    Raises `InputError` unless there are two different studies or more, with results of one at least, and where a book
    would be refused because results are about fewer than five private patients.
    """
    names = [study.name for study in studies]
    if len(set(names)) < max(2, len(names)):
        raise InputError(f"compare: found {', '.join(names) or 'no study'}; expected two different studies or more")
    results = [estimates(study, MEASURES) for study in studies]
    if not any(results):
        raise InputError(f"compare: none of {', '.join(names)} has results; run `cxr report {names[0]}` first")
    for study in studies:
        check_counts(study)
    settings = [dict(_settings(study.resolved(), study)) for study in studies]
    films = [dict(_films(study)) for study in studies]
    return {
        "studies": names,
        "titles": [study.title for study in studies],
        "settings": {key: row for key, row in _joined(settings).items() if len(set(row)) > 1},
        "films": _joined(films),
        "results": {
            role: {
                measure: _joined([found.get((role, measure), {}) for found in results])
                for measure in MEASURES
            }
            for role in ROLE_WORDS
            if any(place[0] == role for found in results for place in found)
        },
    }  # fmt: skip


def _joined(columns: Sequence[dict[str, str]]) -> dict[str, list[str]]:
    """One row per key that any of the columns has, in the order of their first appearance."""
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: [column.get(key, NONE) for column in columns] for key in keys}


def _settings(value: Any, study: Study, key: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its dotted key, but for what tells of the study alone, what a table calls its columns, and
    values of private roles. Of a folder, its name alone."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if key or name not in OF_THE_STUDY:
                yield from _settings(inner, study, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value, start=1):
            yield from _settings(inner, study, f"{key}.{number}")
    elif ".columns." not in f"{key}.":
        private = any(key.startswith(f"data.{role}.") for role in study.private_roles)
        said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if key.endswith((".folder", "weights")):
            said = Path(said).name
        yield key, PRIVATE if private and not key.endswith((".reader", ".publishable")) else said


def _films(study: Study) -> Iterator[tuple[str, str]]:
    if study.results.audit_record.exists():
        for role, used in read_json(study.results.audit_record)["used"].items():
            films, patients, labels = used["images_used"], used["patients"], used["by_label"]
            yield ROLE_WORDS[role], f"{films:,} films of {patients:,} patients, {labels['positive']:,} films positive"


def write_comparison(found: dict[str, Any], path: Path) -> Path:
    """Write the page, one HTML file that needs no other; returns its path."""
    studies = [f"`{name}`" for name in found["studies"]]
    lines = [
        f"# Studies side by side: {', '.join(found['studies'])}",
        *(f"- {name}: {plain(title)}" for name, title in zip(studies, found["titles"], strict=True)),
        "\nStudies have films, patients and runs of their own. A difference between two columns below is not tested, "
        "and intervals that overlap don't show that studies agree. Compare arms *within* a column, then the patterns.",
        "\n## Settings that differ",
        *(_table(["setting", *studies], found["settings"]) or ["None."]),
        "\n## Films used",
        *(_table(["films", *studies], found["films"]) or ["None are prepared."]),
    ]  # fmt: skip
    for role, measures in found["results"].items():
        lines.append(f"\n## Results on the {ROLE_WORDS[role]} films")
        for measure, rows in measures.items():
            lines += [f"\n### {MEASURES[measure].capitalize()}\n", *_table(["arm", *studies], rows)]
    lines.append("\nEstimates at the threshold of one half, with 95 % intervals over patients and training runs.")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render("\n".join(lines))
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")
    title = html.escape(f"Studies side by side: {', '.join(found['studies'])}")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    head = f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>'
    write_text(path, f"{head}\n<body><main>{body}</main></body></html>\n")
    return path


def _table(header: list[str], rows: dict[str, list[str]]) -> list[str]:
    lines = [[f"`{key}`", *map(plain, row)] for key, row in rows.items()]
    return ["", lines_of_table(header, lines), ""] if rows else []
