"""Model cards of the generators and classifiers, and a data sheet of each role, from the records of what was made."""

import csv
from collections.abc import Iterable

from cxrlib.classifiers.arms import arm_of
from cxrlib.files import read_json
from cxrlib.publishing.about import NO_PATIENTS, ROLE_WORDS, UNWRITTEN, dataset, plain, table
from cxrlib.publishing.settings import FilmsSheet
from cxrlib.study import Study
from cxrlib.units import units

NOT_MADE = "Nothing of this is made yet."


def card_sentences(study: Study) -> dict[str, str]:
    """Markdown for the page `cards.md`."""
    return {
        "intended_use": plain(study.about.intended_use) or UNWRITTEN,
        "generator_card": _generators(study),
        "classifier_card": _classifiers(study),
        "data_sheets": "\n\n".join(data_sheet(study, role) for role in study.roles),
        "network": f"`{study.classifier.network}`",
    }


def _generators(study: Study) -> str:
    rows = []
    for unit in units(study, "generator"):
        if (path := unit.record(study)).exists():
            label, fold, variant = unit.key
            made = read_json(path)
            numbers = [f"{made[name]:,}" for name in ("films", "images_seen", "snapshot_images")]
            distance = f"{made['snapshot_kid']:.3f}" if made["snapshot_kid"] is not None else "–"
            name = f"{fold}, {variant}" if variant else fold
            rows.append([label, name, *numbers, distance, f"`{made['generator_sha256'][:12]}`"])
    header = ["label", "fold", "films learned from", "images shown", "kept at", "KID, held out"]
    header.append("SHA-256 of its weights")
    return table("The generators of this study", "generators-made", header, rows) if rows else NOT_MADE


def _classifiers(study: Study) -> str:
    areas = estimates(study, ["roc_auc"]).get(("hospital", "roc_auc"), {})
    rows = []
    for arm in study.classifier_arms:
        records = [unit.record(study) for unit in units(study, "classifier") if unit.key[0] == arm]
        made = [read_json(path) for path in records if path.exists()]
        if made:
            counts = [sum(record["training_images"].values()) for record in made]
            shown = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
            rows.append([f"`{arm}`", plain(arm_of(arm).films), str(len(made)), shown, areas.get(arm, "–")])
    header = ["arm", "learns from", "models", "films of an epoch", "area under the ROC curve, hospital"]
    return table("The classifiers of this study, by arm", "classifiers-made", header, rows) if rows else NOT_MADE


def estimates(study: Study, measures: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """{(role, measure): {arm: estimate with its interval, at the threshold of one half}} of columns of `table2`."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    if study.results.table("table2").exists():
        with open(study.results.table("table2"), newline="", encoding="utf-8") as file:
            for row in (row for row in csv.DictReader(file) if row["operating_point"] == "fixed"):
                for measure in measures:
                    numbers = [row[f"{measure}{end}"] for end in ("", "_low", "_high")]
                    if all(numbers):
                        estimate, low, high = map(float, numbers)
                        said = f"{estimate:.3f} ({low:.3f} to {high:.3f})"
                        found.setdefault((row["role"], measure), {})[row["arm"]] = said
    return found


def data_sheet(study: Study, role: str) -> str:
    """What is known of the films of a role: counts from its records, and what the study file says of its patients."""
    sheet = study.about.films.get(role, FilmsSheet())
    rows = [["data set", plain(dataset(study, role))], ["may be shown", "yes" if study.publishable(role) else "no"]]
    record, audit = study.results.data_record(role), study.results.audit_record
    if record.exists() and audit.exists():
        found, used = read_json(record), read_json(audit)["used"][role]
        rows += [
            ["films listed", f"{found['files_expected']:,}"],
            ["of these missing", f"{found['missing']:,}"],
            ["films used", f"{used['images_used']:,}"],
            ["patients", f"{used['patients']:,}"],
            ["positive and negative films", f"{used['by_label']['positive']:,} and {used['by_label']['negative']:,}"],
        ]
    unknown = NO_PATIENTS if study.data.simulated(role) else UNWRITTEN
    words = {"setting": "where and how patients were found", "dates": "when", "eligibility": "taken in and left out",
             "acquisition": "devices and technique", "labels": "how and by whom labelled",
             "deidentification": "how identities were removed"}  # fmt: skip
    rows += [[words[name], plain(getattr(sheet, name)) or unknown] for name in FilmsSheet.model_fields]
    return table(f"The {ROLE_WORDS[role]} films", f"sheet-{role}", ["asked", "known"], rows, "35 65")
