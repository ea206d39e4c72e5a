"""Sentences about readings. They follow the intervals: "not different from chance" is never "equivalent to chance"."""

from collections.abc import Mapping

import pandas as pd

from cxrlib.chapters.words import joined, percent
from cxrlib.evaluation.readers import CHANCE, MARGIN
from cxrlib.reading.agreement import ALL, LABEL, ORIGIN, PROGRAMS, SIDES
from cxrlib.reading.pace import PACE

NO_READINGS = "no readings yet"
NOT_ENOUGH = "nobody has read enough yet to be counted"
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def reading_sentences(tables: Mapping[str, pd.DataFrame], readers: str, answers: int) -> dict[str, str]:
    """By name: who, origin, steps, experience, sides, realism, label, agreement, again, artefacts, copies, generators,
    time.

    `tables` are the rows of one group of readers, named `readers`, who gave so many answers. Where there is nothing to
    say a sentence says so.
    """
    if not answers:
        names = (
            "origin", "steps", "experience", "sides", "realism", "label", "agreement", "again", "artefacts", "copies",
            "generators", "time",
        )  # fmt: skip
        return {"who": "There are no readings yet.", **dict.fromkeys(names, "Nobody has read yet.")}
    who = _who(tables["reading_time"], readers, answers)
    tables = counted_rows(tables)
    accuracy = tables["reading_accuracy"]
    return {
        "who": who,
        "origin": _against_chance(accuracy, ORIGIN, "whether a film is real or synthetic", readers),
        "steps": _steps(accuracy),
        "experience": _experience(tables["reading_experience"]),
        "sides": _against_chance(accuracy, SIDES, "which of two films is synthetic", readers),
        "realism": _realism(tables["reading_realism"]),
        "label": _label(accuracy),
        "agreement": _agreement(tables["reading_agreement"]),
        "again": _again(tables["reading_agreement"]),
        "artefacts": _artefacts(tables["reading_artefacts"]),
        "copies": _copies(tables["reading_pairs"]),
        "generators": _generators(tables["reading_generators"]),
        "time": _time(tables["reading_time"]),
    }


def counted_rows(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables without the rows of readers who are unfinished or went implausibly fast: the last row of a question is
    then that of all readers, or of the only one who counts."""
    return {name: part[part["counted"] == "yes"] if "counted" in part else part for name, part in tables.items()}


def chance_verdict(low: float, high: float, inner_low: float, inner_high: float) -> str:
    """In words, how a share stands to chance: from its 95 % interval, and its 90 % interval for equivalence."""
    equivalent = inner_low > CHANCE - MARGIN and inner_high < CHANCE + MARGIN
    points = f"{100 * MARGIN:.0f} points"
    if low > CHANCE:
        return f"more often than chance, though by less than {points}" if equivalent else "more often than chance"
    if high < CHANCE:
        return f"less often than chance, though by less than {points}" if equivalent else "less often than chance"
    if equivalent:
        return f"as often as chance, give or take {points}: the two are equivalent"
    return (
        "no difference from chance was found, which does not mean that there is none (the interval is too wide to show "
        f"equivalence within {points})"
    )


def _who(time: pd.DataFrame, readers: str, answers: int) -> str:
    number = time[time["reader"] != ALL]["reader"].nunique()
    one = number == 1
    count = NUMBERS[number] if number < len(NUMBERS) else f"{number}"
    if readers == PROGRAMS:
        who = f"{count} simulated {'reader' if one else 'readers'}, whose answers a program made up,"
        return f"{who} {'has' if one else 'have'} given {answers:,} answers; they say nothing about the films."
    counted = time[(time["reader"] != ALL) & (time["counted"] == "yes")]["reader"].nunique()
    only = " What follows holds for this reader only." if one else ""
    if counted == 1 and not one:
        only = " What follows holds for the only reader who counts."
    return f"{count} {'reader has' if one else 'readers have'} given {answers:,} answers.{_left_out(time)}{only}"


def _left_out(time: pd.DataFrame) -> str:
    """Who has no part in what is said of all readers, and why."""
    told = []
    for reader, rows in time[time["reader"] != ALL].groupby("reader", sort=False):
        slow = rows[rows["counted"] == "no"]
        if slow.empty:
            continue
        hurried = slow[slow["why"] == PACE]
        if len(hurried):
            hasty, answers = int(hurried["hasty"].sum()), int(hurried["answers"].sum())
            told.append(f"{reader} ({hasty} of {answers} answers given faster than anybody can look)")
        else:
            told.append(f"{reader} ({int(rows['answers'].sum())} of {int(rows['tasks'].sum())} tasks answered)")
    if not told:
        return ""
    return f" Left out of the results of all readers, in one part or in all: {joined(told)}."


def _against_chance(accuracy: pd.DataFrame, question: str, what: str, readers: str) -> str:
    rows = accuracy[(accuracy["question"] == question) & (accuracy["measure"] == "accuracy")]
    row = _last(rows[rows["answers"] > 0])
    if row is None:
        return f"Nobody has said yet {what}."
    verdict = chance_verdict(row["low"], row["high"], row["inner_low"], row["inner_high"])
    subject = f"{readers.capitalize()} were" if row["reader"] == ALL else f"The {readers.removesuffix('s')} was"
    return f"{subject} right about {what} in {_share(row)} of the answers: {verdict}."


def _steps(accuracy: pd.DataFrame) -> str:
    row = _last(accuracy[(accuracy["question"] == ORIGIN) & (accuracy["measure"] == "auc") & (accuracy["answers"] > 0)])
    if row is None or pd.isna(row["estimate"]):
        return "The six steps have no ROC curve yet."
    area = f"{row['estimate']:.2f} (95 % interval {row['low']:.2f} to {row['high']:.2f})"
    return f"By the six steps the area under the ROC curve is {area}; chance would give {CHANCE:.2f}."


ASKED_OF_READERS = {"speciality": "speciality", "years": "years of reading films", "films_a_week": "chest films a week"}


def _experience(experience: pd.DataFrame) -> str:
    """By the answers that part the readers into kinds of two or more."""
    areas, told = experience[experience["measure"] == "auc"], []
    for about, rows in areas.groupby("about", sort=False):
        if len(rows) > 1:
            kinds = [
                f"{row.estimate:.2f} ({row.low:.2f} to {row.high:.2f}) for the {row.number} with “{row.told}”"
                for row in rows.itertuples()
            ]
            told.append(f"by {ASKED_OF_READERS[about]} {joined(kinds)}")
    if not told:
        return "Readers are not compared by experience: that takes two groups, with two or more readers in each."
    return f"The area under the ROC curve is, {'; '.join(told)}."


def _last(rows: pd.DataFrame) -> pd.Series | None:
    """The row of all readers, or of the only one."""
    return None if rows.empty else rows.iloc[-1]


def _share(row: pd.Series, name: str = "estimate") -> str:
    return f"{percent(row[name], 0)} (95 % interval {100 * row['low']:.0f} to {100 * row['high']:.0f} %)"


def _realism(realism: pd.DataFrame) -> str:
    parts, apart = [], []
    last = realism[realism["reader"] == realism["reader"].iloc[-1]] if len(realism) else realism
    for label, rows in last.groupby("label", sort=False):
        by_origin = rows.set_index("origin")
        if set(by_origin.index) == {"real", "synthetic"}:
            real, synthetic = by_origin.loc["real"], by_origin.loc["synthetic"]
            parts.append(f"{synthetic['mean']:.1f} for synthetic and {real['mean']:.1f} for real {label} films")
            apart.append(synthetic["mean_high"] < real["mean_low"])
    if not parts:
        return "No film has been judged for realism yet."
    if all(apart):
        verdict = "the synthetic ones look less real, and the intervals do not overlap"
    elif any(apart):
        verdict = "the intervals overlap for one of the two labels only"
    else:
        verdict = "the intervals overlap"
    return f"The mean realism, from 1 to 5, is {'; '.join(parts)}: {verdict}."


def _label(accuracy: pd.DataFrame) -> str:
    given = accuracy[accuracy["answers"] > 0]
    rows = {kind: _last(given[given["question"] == f"{LABEL}, {kind} films"]) for kind in ("synthetic", "real")}
    if any(row is None for row in rows.values()):
        return "No film has been diagnosed yet."
    return (
        f"The diagnosis is the label that a synthetic film was made to show in {_share(rows['synthetic'])} of the "
        f"answers, and the label of a real film in {_share(rows['real'])}."
    )


def _agreement(agreement: pd.DataFrame) -> str:
    rows = agreement[(agreement["between"] == "readers") & (agreement["question"] == ORIGIN)]
    if rows.empty:
        return "With a single reader there is no agreement to measure."
    return f"On real or synthetic, readers agree with {_coefficients(rows)}."


def _again(agreement: pd.DataFrame) -> str:
    rows = agreement[(agreement["between"] == "first and second answer") & (agreement["question"] == ORIGIN)]
    if rows.empty:
        return "No film has been read twice yet."
    rows = rows[rows["reader"] == rows["reader"].iloc[-1]]
    films = int(rows["films"].iloc[0])
    same = rows[rows["coefficient"] == "agreement"].iloc[0]
    return f"Shown a film again, they repeated their answer in {percent(same['estimate'], 0)} of {films} cases."


def _coefficients(rows: pd.DataFrame) -> str:
    parts = [
        f"{row.coefficient} {row.estimate:.2f}" + ("" if pd.isna(row.low) else f" ({row.low:.2f} to {row.high:.2f})")
        for row in rows[rows["coefficient"] != "agreement"].itertuples()
    ]
    return joined([part.replace("-", "−") for part in parts])


def _artefacts(artefacts: pd.DataFrame) -> str:
    rows = {kind: artefacts[(artefacts["artefact"] == "any") & (artefacts["origin"] == kind)]
            for kind in ("synthetic", "real")}  # fmt: skip
    if any(part.empty or not part["answers"].iloc[0] for part in rows.values()):
        return "Nothing has been marked yet."
    shares = {kind: _share(part.iloc[0], "share") for kind, part in rows.items()}
    return (
        f"Something was marked as wrong in {shares['synthetic']} of the answers to synthetic films, and in "
        f"{shares['real']} of those to real ones."
    )


def _copies(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return "No pair has been compared yet."
    last = pairs[pairs["reader"] == pairs["reader"].iloc[-1]].set_index("kind")
    names = {
        "flagged": "synthetic films flagged as copies, beside their nearest real one",
        "nearest": "the nearest pairs that were not flagged",
        "same patient": "two films of one patient",
        "different patients": "films of two patients",
    }
    parts = [f"{_share(last.loc[kind], 'share_yes')} for {name}" for kind, name in names.items() if kind in last.index]
    return f"Pairs were taken for one patient in {'; '.join(parts)}."


def _generators(generators: pd.DataFrame) -> str:
    """Against the standard generator, by readers' choices between two synthetic films."""
    generators = generators.dropna(subset="estimate")
    if generators.empty:
        return "Films of two generators were not set side by side."
    told = []
    for row in generators[generators["reader"] == generators["reader"].iloc[-1]].itertuples():
        verdict = "neither is clearly ahead"
        if row.low > CHANCE or row.high < CHANCE:
            verdict = f"{row.generator if row.low > CHANCE else 'the standard'} is ahead"
        chance = f"{percent(row.estimate, 0)} (95 % interval {100 * row.low:.0f} to {100 * row.high:.0f} %)"
        told.append(f"a film of {row.generator} is judged more real in {chance}: {verdict}")
    return f"Beside a film of the standard generator, {'; '.join(told)}."


def _time(time: pd.DataFrame) -> str:
    row = _last(time[(time["block"] == "A") & (time["answers"] > 0)])
    if row is None or pd.isna(row["median_seconds"]):
        return "No film has been timed yet."
    return (
        f"The median time for a single film was {row['median_seconds']:.0f} seconds; half of the films took between "
        f"{row['lower_seconds']:.0f} and {row['upper_seconds']:.0f}."
    )
