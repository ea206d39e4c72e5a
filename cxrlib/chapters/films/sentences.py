"""What Chapter 1 says about the films: sentences that follow from the tables and from their intervals."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.chapters.findings import negatives_sentence
from cxrlib.chapters.words import joined, percent, role_word
from cxrlib.files import read_json
from cxrlib.films.appearance import MEASURES
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.study import Study

MORE_AND_LESS = {
    "brightness": ("brighter", "darker"),
    "contrast": ("richer in contrast", "poorer in contrast"),
    "sharpness": ("sharper", "softer"),
    "noise": ("noisier", "less noisy"),
}


def data_records(study: Study) -> dict[str, dict[str, Any]]:
    """The data record of each role, with the counts of the films that the audit left in."""
    used = read_json(study.results.audit_record)["used"]
    return {role: read_json(study.results.data_record(role)) | used[role] for role in study.roles}


def film_sentences(study: Study, tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that Chapter 1 says besides counts: `tables` by name, `record` that of the film tables."""
    shortcut, shift = tables["shortcut"], tables["shift_films"]
    said: dict[str, Any] = {
        "missing": missing_sentence(tables["table1"]),
        "both": both_labels_sentence(tables["table1"]),
    }
    said["negatives"] = negatives_sentence(tables["demographics"], record.get("negatives", {}))
    said["covidx"] = covidx_sentence(tables.get("covidx_labels"))
    for role in study.roles:
        said[f"source_{role}"] = source_sentence(shortcut, role)
        said[f"borders_{role}"] = borders_sentence(shortcut, role)
    said["shortcut_verdict"] = shortcut_verdict(shortcut)
    said["border_region"] = region_sentence(record["border"])
    for role in study.roles[1:]:
        said[f"shift_{role}"] = shift_sentence(shift, role)
    return said | neighbour_facts(record["neighbours"])


def missing_sentence(table1: pd.DataFrame) -> str:
    """What the tables do without, role by role."""
    parts = []
    for row in table1[table1["role"].isin(EVERY_ROLE)].itertuples():
        lost = {"missing": row.missing_files, "unreadable": row.unreadable_files}
        lost["dropped as copies"] = row.duplicates_dropped
        told = [f"{count:,} {'is' if count == 1 else 'are'} {what}" for what, count in lost.items() if count]
        if told:
            parts.append(f"of the {role_word(row.role)} films, {joined(told)}")
    if not parts:
        return "Nothing is missing: every film that the labels name was found, read and used."
    return f"What could not be used is in no number of this study: {'; '.join(parts)}."


def both_labels_sentence(table1: pd.DataFrame) -> str:
    """Why patients by label may sum to more than there are."""
    parts = []
    for row in table1.itertuples():
        hidden = pd.isna(row.patients_both)
        if row.role in EVERY_ROLE and (hidden or row.patients_both):
            parts.append(f"{'fewer than five' if hidden else f'{row.patients_both:,}'} in {role_word(row.role)}")
    if not parts:
        return "No patient has films of both labels."
    return f"Some patients have films of both labels ({joined(parts)}): they count under each label, and once in all."


def covidx_sentence(labels: pd.DataFrame | None) -> str:
    """What COVIDx's own label files say: the paper's counts, and how far the sources alone lead."""
    if labels is None or labels.empty:
        return "This study uses no COVIDx data, so there is nothing to say of its label files."
    train, test = (labels[labels["split"] == split].to_dict("records")[0] for split in ("train", "test"))
    total = train["positive_patients"] + train["negative_patients"]
    return (
        f"The official label files of COVIDx V8B name {train['positive_images']:,} positive and "
        f"{train['negative_images']:,} negative training films of {train['patients']:,} patients; the paper's "
        f"{total:,} is the sum over labels, in which {train['patients_both']:,} patients with films of both count "
        "twice. A rule that knows nothing but the source is right on "
        f"{percent(train['accuracy_by_source'], 2)} of these films "
        f"and on {percent(test['accuracy_by_source'], 2)} of the {test['positive_images'] + test['negative_images']:,} "
        "of the official test list."
    )


def source_sentence(shortcut: pd.DataFrame, role: str) -> str:
    """How far the source alone leads in a role: by the rule of the training films, and by the role's own sources."""
    majority = _row(shortcut, role, "majority", "training")
    learned, own = (_row(shortcut, role, "source", learned_on) for learned_on in ("training", "own"))
    if learned is None:
        return f"The {role_word(role)} films have too few patients for a rule that is tested on patients it never saw."
    if not learned["known_source"]:
        films = f"No {role_word(role)} film is from a source that training has"
        text = f"{films}, so the rule of the training films does not apply"
    else:
        some = learned["known_source"] < learned["films"]
        known = f" (it knows the sources of {int(learned['known_source']):,} of them)" if some else ""
        text = (
            f"Of the {learned['films']:,} {role_word(role)} films{known}, the source alone predicts "
            f"{_share(learned, 'accuracy')} of the labels; always giving the label that is commoner in "
            f"training is right on {percent(majority['accuracy'])}"
        )
    ending = "" if own is None else f". A rule learned from the {role_word(role)} films' own sources {_predicts(own)}"
    return f"{text}{ending}."


def borders_sentence(shortcut: pd.DataFrame, role: str) -> str:
    """How far the borders alone lead in a role."""
    learned, own = (_row(shortcut, role, "borders", learned_on) for learned_on in ("training", "own"))
    if learned is None:
        return f"The {role_word(role)} films have too few patients for a rule that is tested on patients it never saw."
    if role == "training":
        return f"A rule learned from the training borders {_predicts(learned)}."
    text = f"In the {role_word(role)} films a rule learned from the training borders {_predicts(learned)}"
    ending = "" if own is None else f"; one learned from the {role_word(role)} films' own borders {_predicts(own)}"
    return f"{text}{ending}."


def _predicts(row: pd.Series) -> str:
    """Words for an area under the ROC curve, chosen by its interval."""
    low, high = row["roc_auc_low"], row["roc_auc_high"]
    if low == high == 0.5:
        return "says nothing about the label, since all its films get the same answer"
    if low > 0.9:
        words = "predicts nearly every label"
    elif low > 0.7:
        words = "often predicts the label"
    elif low > 0.5:
        words = "predicts the label better than chance"
    elif high < 0.5:
        words = "predicts the opposite label more often than not"
    else:
        words = "does not clearly predict the label better than chance"
    return f"{words} (area under the ROC curve {row['roc_auc']:.2f}, {low:.2f} to {high:.2f})"


def shortcut_verdict(shortcut: pd.DataFrame) -> str:
    """What the shortcuts mean for the rest of the study."""
    training = [_row(shortcut, "training", name, "training") for name in ("source", "borders")]
    lows = [row["roc_auc_low"] for row in training if row is not None]
    if not lows or max(lows) <= 0.5:
        return "Neither of these two shortcuts is seen in the training films; others may exist."
    if max(lows) <= 0.7:
        opening = "Something about the label can be read without the lungs, though not much"
    else:
        opening = "A network can learn much of the label of the training films without looking at the lungs"
    carried = _row(shortcut, "hospital", "borders", "training")
    if carried["roc_auc_low"] > 0.5:
        ending = "part of what the borders teach still holds at the hospital, so even a good result there proves little"
    else:
        ending = "what the borders teach is not seen to hold at the hospital: this is why the hospital is the test"
    return f"{opening}; {ending}."


def region_sentence(border: Mapping[str, Any]) -> str:
    """What counts as border, and how much lung is in it."""
    share = percent(border["cells"] / border["grid"] ** 2, 0)
    shares = {role: value for role, value in border["lung_share"].items() if not pd.isna(value)}
    lung = joined([f"{percent(value, 2)} ({role_word(role)})" for role, value in shares.items()] or ["unknown"])
    if border["masks"] == "all":
        return (
            "The lungs are known in every film, so the border is what lies outside the lungs of nearly all films, and "
            f"not between them: {share} of the film. The share of lung that is left in it is {lung}."
        )
    if border["masks"] == "some":
        return (
            "The lungs are known in some films only, so the border is an outer ring, less what known lungs often "
            f"reach: {share} of the film. Where lungs are known, the share of lung that is left in it is {lung}."
        )
    return (
        "No lungs are outlined in these films, so a generous box in the middle is hidden, and the border is the outer "
        f"ring: {share} of the film. Parts of the lungs may reach into it."
    )


def shift_sentence(shift: pd.DataFrame, role: str) -> str:
    """Which measures tell a role's films from the training films, the strongest first."""
    rows = shift[(shift["role"] == role) & (shift["label"] == "both")].set_index("measure")
    told = []
    for measure in sorted(MEASURES, key=lambda name: -abs(rows.loc[name, "above_training"] - 0.5)):
        names = ["above_training", "above_training_low", "above_training_high"]
        area, low, high = rows.loc[measure, names].astype(float)
        if low <= 0.5 <= high:
            continue
        more, less = MORE_AND_LESS[measure]
        word, values = (more, (area, low, high)) if area > 0.5 else (less, (1 - area, 1 - high, 1 - low))
        middle, bottom, top = (f"{100 * value:.0f}" for value in values)
        told.append(f"{word} in {middle} of 100 pairs ({bottom} to {top})")
    if not told:
        return f"No measure separates the {role_word(role)} films from the training films."
    return (
        f"Compared with a training film of the same label, a {role_word(role)} film is {joined(told)}; by chance it "
        "would be so in half of the pairs."
    )


def neighbours_sentence(neighbours: Mapping[str, Any]) -> str:
    """How often films that look alike to a network are of one role, beside what chance would give."""
    told = neighbour_facts(neighbours)
    return (
        f"Of each film's {told['map_neighbours']} nearest films of other patients, {told['map_same_role']} are of its "
        f"own role; chance would give {told['map_by_chance']}."
    )


def grey_sentence(means: Mapping[str, float]) -> str:
    """The mean grey level of each role's films."""
    told = joined([f"{mean:.0f} in {role_word(role)}" for role, mean in means.items()])
    return f"The mean grey level, from black (0) to white (255), is {told}."


def neighbour_facts(neighbours: Mapping[str, Any]) -> dict[str, str]:
    """Numbers about the neighbours of films in the features, as strings."""
    facts = {
        "map_films": f"{neighbours['films']:,}",
        "map_neighbours": f"{neighbours['count']}",
        "map_features": neighbours["features"],
        "map_same_role": percent(neighbours["same_role"], 0),
        "map_by_chance": percent(neighbours["same_role_by_chance"], 0),
    }
    return facts | {f"map_same_label_{role}": percent(share, 0) for role, share in neighbours["same_label"].items()}


def _row(shortcut: pd.DataFrame, role: str, name: str, learned_on: str) -> pd.Series | None:
    found = shortcut[
        (shortcut["role"] == role) & (shortcut["shortcut"] == name) & (shortcut["learned_on"] == learned_on)
    ]
    return None if found.empty else found.iloc[0]


def _share(row: pd.Series, name: str) -> str:
    return f"{percent(row[name])} ({100 * row[f'{name}_low']:.0f} to {100 * row[f'{name}_high']:.0f} %)"
