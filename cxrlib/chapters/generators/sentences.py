"""Sentences and numbers of Chapter 2 that follow from the generators' tables and records."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.chapters.words import joined, percent
from cxrlib.films.settings import LABELS
from cxrlib.study import Study

HALF = 0.5
PATIENTS = {"all": "all patients", "public": "the public films"}
KEYS = ["label", "comparison", "measure"]
MODULATIONS = {
    "demodulated": "demodulated convolutions, as in the successor of the paper's StyleGAN",
    "adain": "adaptive instance normalisation, as in the StyleGAN that the paper names, in layers not all as there",
}
# Pairs of generators for `figures.variant_curves`, by variant, and what each is called.
PAIRS = {
    "where training starts": {"standard": "start from public films", "random-start": "random start"},
    "what the discriminator sees": {"standard": "with augmentation", "no-augmentation": "without augmentation"},
}

Records = Mapping[tuple[str, str], Mapping[str, Any]]


def believed(quality: pd.DataFrame) -> pd.DataFrame:
    """The measures to believe, one row per label, comparison and measure: those on films that no generator was trained
    on, where there are any; averaged over folds, ends of intervals too."""
    unseen = quality[quality["hospital_films"] != "trained-on"]
    rows = quality if unseen.empty else unseen
    found = rows.groupby(KEYS, sort=False).agg(
        estimate=("estimate", "mean"), low=("low", "mean"), high=("high", "mean"),
        images_each=("images_each", "min"), hospital_films=("hospital_films", "first"),
    )  # fmt: skip
    return found.reset_index()


def compared_with(quality: pd.DataFrame) -> str:
    """What the hospital films of the believed rows are to the generators."""
    kinds = set(quality["hospital_films"])
    if kinds == {"trained-on"}:
        return "films that they were trained on"
    held_out = "films held out from their training, by which their snapshots were chosen"
    unused = "films of patients whom they never saw"
    return f"{held_out}, and {unused}" if len(kinds) > 1 else held_out if kinds == {"held-out"} else unused


def nearness(quality: pd.DataFrame) -> str:
    """Whether synthetic films are nearer to the hospital's than public ones; "clearly" only where intervals part.

    `quality` has a row per label, comparison and measure (and fold, if it has that column), with estimate, low, high.
    """
    keys = [name for name in ("label", "fold") if name in quality]
    rows = quality[quality["measure"] == "kid"].set_index([*keys, "comparison"])[["estimate", "low", "high"]]
    synthetic, public = (rows.xs(name, level="comparison") for name in ("synthetic-hospital", "public-hospital"))
    if (synthetic["high"] < public["low"]).all():
        return "clearly nearer to the hospital's films than the public ones are, for every label and fold"
    if (synthetic["estimate"] < public["estimate"]).all():
        return "nearer to the hospital's films than the public ones are, but with intervals that overlap"
    return "not nearer to the hospital's films than the public ones are for every label and fold"


def shares(quality: pd.DataFrame) -> str:
    """Precision and recall of each label with their intervals, in sentences."""
    said = []
    for label in LABELS:
        precision, recall = (_row(quality, label, "synthetic-hospital", name) for name in ("precision", "recall"))
        if pd.isna(precision["estimate"]):
            said.append(f"The {label} films are too few to say.")
            continue
        among, reached = (
            f"{percent(row['estimate'], 0)} ({percent(row['low'], 0)} to {percent(row['high'], 0)})"
            for row in (precision, recall)
        )
        said.append(
            f"Of the synthetic {label} films {among} lie among the hospital's, and of the hospital's {reached} lie "
            "among the synthetic ones."
        )
        said += _disagreements(quality, label)
    return " ".join(said)


def _disagreements(quality: pd.DataFrame, label: str) -> list[str]:
    """Where the measures that one outlying film can't mislead say otherwise than precision and recall do: one lies
    clearly below what the hospital's halves have, the other doesn't."""
    said = []
    for plain, firm in (("precision", "density"), ("recall", "coverage")):
        below, words = {}, {}
        for name in (plain, firm):
            made, halves = (_row(quality, label, who, name) for who in ("synthetic-hospital", "hospital-halves"))
            below[name] = made["high"] < halves["estimate"]
            beside = " beside ".join(
                f"{row['estimate']:.2f} ({row['low']:.2f} to {row['high']:.2f})" for row in (made, halves)
            )
            words[name] = f"{name} {beside} between the hospital's halves"
        if below[plain] != below[firm]:
            said.append(f"Here {firm} disagrees with {plain}: {words[firm]}, {words[plain]}.")
    return said


def variety(quality: pd.DataFrame) -> str:
    """What recall says, label by label: does the generator reach the variety of the hospital's films?

    Where precision is low a high recall means nothing: scattered outliers can enclose real films without resembling
    them.
    """
    return _said_of_labels(
        quality,
        "recall",
        astray="{who} are scattered so widely that their recall means nothing",
        as_real="{who} show no clear lack of variety, which does not prove that they are as varied as the hospital's",
        most="{who} are less varied than the hospital's, though most of its films have a close match among them",
        few="{who} lack most of the hospital's variety: too few kinds of film are drawn",
    )


def fidelity(quality: pd.DataFrame) -> str:
    """What precision says, label by label: do synthetic films lie among the real ones?"""
    return _said_of_labels(
        quality,
        "precision",
        as_real="{who} do not lie among the hospital's films clearly less often than its own do, which does not "
        "prove them equal",
        most="most of {who} lie among the hospital's films, but fewer than of the hospital's own",
        few="most of {who} lie outside what the hospital's films look like",
    )


def _said_of_labels(
    quality: pd.DataFrame, measure: str, *, as_real: str, most: str, few: str, astray: str | None = None
) -> str:
    """One clause per label by its share and that of the hospital's halves; labels with the same clause share it.

    `astray` is said, if given, where a share is large but precision is not.
    """
    clauses: dict[str, list[str]] = {}
    for label in LABELS:
        synthetic, halves = (_row(quality, label, name, measure) for name in ("synthetic-hospital", "hospital-halves"))
        if pd.isna(synthetic["estimate"]):
            clause = "{who} are too few to say"
        elif synthetic["estimate"] < HALF:
            clause = few
        elif astray and _row(quality, label, "synthetic-hospital", "precision")["estimate"] < HALF:
            clause = astray
        else:
            clause = as_real if synthetic["high"] >= halves["estimate"] else most
        clauses.setdefault(clause, []).append(label)
    both = "the films of both labels"
    return "; ".join(
        clause.format(who=both if len(labels) == len(LABELS) else f"the {labels[0]} films")
        for clause, labels in clauses.items()
    )


def _row(quality: pd.DataFrame, label: str, comparison: str, measure: str) -> pd.Series:
    return quality.set_index(KEYS).loc[(label, comparison, measure)]


def settings_facts(study: Study) -> dict[str, Any]:
    """What Chapter 2 says before anything is trained."""
    return {
        "resolution": study.gan.resolution,
        "truncation": study.synthesis.truncation,
        "modulation": MODULATIONS[study.gan.modulation],
        "augmentations": joined(list(study.gan.augmentations)) or "none",
    }


def generator_facts(generators: Records) -> dict[str, Any]:
    """What Chapter 2 says of its generators before any film is measured, from their records by (label, fold)."""
    positive = generators["positive", "all"]
    return {
        "generators": len(generators),
        "minutes": f"{sum(record['seconds'] for record in generators.values()) / 60:,.1f}",
        "images_seen": f"{positive['images_seen']:,}",
        "films": positive["films"],
        "initialised_from": positive["initialised_from"],
        "kept": kept_snapshots(generators),
        "collapse": collapse(generators),
    }


def kept_snapshots(generators: Records) -> str:
    """How the snapshots that were kept had been chosen, and how many were not the last."""
    own = {key: record for key, record in generators.items() if key[1] != "public"}
    judged = [record for record in own.values() if record["selected_by"] != "last"]
    if not judged:
        return "no film was held out of any training, so that each generator is simply the last"
    earlier = sum(record["snapshot_images"] < record["images_seen"] for record in judged)
    said = f"of {len(judged)} generators chosen by held-out films, {earlier or 'none'} stopped before the last snapshot"
    if equal := sum(record.get("within_noise", False) for record in judged):
        said += f"; {equal} keep the last of several snapshots that do not clearly differ"
    if len(judged) < len(own):
        said += f"; {len(own) - len(judged)} had too few films to hold any out and are simply the last"
    return said


def collapse(generators: Records) -> str:
    """The warnings of all trainings in one sentence, or that there are none."""
    found = [
        f"the {label} generator of {PATIENTS.get(fold, fold)} showed {warning}"
        for (label, fold), record in generators.items()
        for warning in record.get("warnings", [])
    ]
    if not found:
        return "No generator showed a sign of collapse"
    return f"There were signs of collapse: {'; '.join(found)}"


def collapsed(generators: Records) -> str:
    """In how many trainings there were such warnings."""
    warned = sum(bool(record.get("warnings")) for record in generators.values())
    return f"{warned or 'None'} of {len(generators)} generators showed signs of collapse on the way."


def trust(logs: Mapping[str, pd.DataFrame]) -> str:
    """Where the discriminator's trust in real films ends, mean of the last twelfth of each label's log."""
    known = {label: log["real_sign"].dropna() for label, log in logs.items()}
    ends = joined([f"{part.tail(max(1, len(part) // 12)).mean():.2f} ({label})" for label, part in known.items()])
    return f"At the end of training the discriminator's trust in real films is {ends}; one would be learning by heart."


def comparison_facts(comparisons: pd.DataFrame, label: str) -> dict[str, str]:
    """What the trainings by another way say: `start` and `augmentation`, a sentence each."""
    return {
        "start": _compared(comparisons, label, "random-start", "The start from the public films", "the random start"),
        "augmentation": _compared(
            comparisons, label, "no-augmentation", "Training with augmentation", "training without it"
        ),
    }


def _compared(comparisons: pd.DataFrame, label: str, variant: str, usual: str, other: str) -> str:
    """Which of two ways wins by the kernel distance of the snapshots that were kept, paired; what it does to copies."""
    kept = comparisons[comparisons["chosen"].astype(bool)].set_index("variant")
    if not {"standard", variant} <= set(kept.index) or kept.loc[["standard", variant], "kid"].isna().any():
        return f"This study has nothing to compare with {other}"
    mine, theirs = kept.loc["standard"], kept.loc[variant]
    ahead, behind = (mine, theirs) if mine["kid"] < theirs["kid"] else (theirs, mine)
    winner, loser = (usual, other) if ahead is mine else (other[0].upper() + other[1:], _small(usual))
    further = theirs[["further", "further_low", "further_high"]].to_numpy(float)
    between, low, high = further if behind is theirs else -further[[0, 2, 1]]
    clearly = "wins clearly" if low > 0 else "is ahead, but by no more than chance could give"
    return (
        f"{winner} {clearly}: for the {label} films, a kernel distance to held-out films of {_interval(ahead)} against "
        f"{_interval(behind)} for {loser}; with the same random numbers, beside the same held-out films, the "
        f"difference is {_told(between, low, high)}. {_flagged(mine, theirs, _small(usual), other)}"
    )


def _flagged(mine: pd.Series, theirs: pd.Series, usual: str, other: str) -> str:
    if pd.isna(mine["flag_rate"]) or pd.isna(theirs["flag_rate"]):
        return "How many of their films are too near to a training film was not measured"
    rates = f"{_rate(mine)} of the films for {usual}, {_rate(theirs)} for {other}"
    apart = mine["flag_low"] > theirs["flag_high"] or theirs["flag_low"] > mine["flag_high"]
    said = "differ" if apart else "do not clearly differ"
    return f"The shares of films that lie too near to a training film {said}: {rates}"


def _rate(row: pd.Series) -> str:
    return f"{percent(row['flag_rate'])} ({percent(row['flag_low'])} to {percent(row['flag_high'])})"


def _interval(row: pd.Series) -> str:
    return _told(row["kid"], row["kid_low"], row["kid_high"])


def _told(estimate: float, low: float, high: float) -> str:
    return f"{estimate:.3f} ({low:.3f} to {high:.3f})".replace("-", "\u2212")


def _small(text: str) -> str:
    return text[0].lower() + text[1:]


def compared_briefly(comparisons: pd.DataFrame, label: str) -> str:
    """Who wins each comparison, without the numbers."""
    told = [said.partition(":")[0] for said in comparison_facts(comparisons, label).values()]
    return f"{'. '.join(dict.fromkeys(told))}."


def quality_facts(quality: pd.DataFrame) -> dict[str, str]:
    """What Chapter 2 says of the measures, from the table `quality`."""
    rows = believed(quality)
    distances = rows[rows["measure"] == "kid"].groupby("comparison")["estimate"].mean()
    return {
        "tested": compared_with(rows),
        "kid_synthetic": f"{distances['synthetic-hospital']:.3f}",
        "kid_public": f"{distances['public-hospital']:.3f}",
        "kid_halves": f"{distances['hospital-halves']:.3f}",
        "nearer": nearness(rows),
        "fidelity": fidelity(rows),
        "variety": variety(rows),
        "shares": shares(rows),
        "features": quality["features"].iloc[0],
        "second_judge": _second_judge(rows, quality),
    }


def _second_judge(rows: pd.DataFrame, quality: pd.DataFrame) -> str:
    """Who the second judge is and what it finds, in a sentence."""
    second = rows[rows["measure"] == "kid_second"]
    if second.empty:
        return "The study names no second judge"
    eyes = quality.loc[quality["measure"] == "kid_second", "features"].iloc[0]
    found = second.groupby("comparison")["estimate"].mean()
    return (
        f"A second judge ({eyes}) finds kernel distances of {found['synthetic-hospital']:.3g} for the synthetic films, "
        f"{found['public-hospital']:.3g} for the public ones and {found['hospital-halves']:.3g} between the halves; "
        f"by it the synthetic films are {nearness(second.assign(measure='kid'))}"
    )
