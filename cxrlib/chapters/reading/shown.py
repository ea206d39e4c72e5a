"""Tables of the readings as Chapter 3 shows them. The head of each says whether its readers are simulated."""

import re
from collections.abc import Mapping

import pandas as pd

from cxrlib.reading.agreement import ALL
from cxrlib.reading.sample_size import UNLIKE

BLOCKS = {"A": "single films", "B": "two films: which is synthetic?", "C": "two films: the same patient?",
          "D": "two synthetic films: which looks more real?"}  # fmt: skip
ASKED = {
    ("real or synthetic", "accuracy"): "right about real or synthetic, %",
    ("real or synthetic", "sensitivity"): "synthetic films found, %",
    ("real or synthetic", "specificity"): "real films taken for real, %",
    ("real or synthetic", "auc"): "area under the ROC curve",
    ("which of two is synthetic", "accuracy"): "right about which of two, %",
}
KINDS = {
    "flagged": "synthetic, flagged as a copy, and its nearest real film",
    "nearest": "synthetic, not flagged, and its nearest real film",
    "same patient": "control: two films of one patient",
    "different patients": "control: films of two patients",
}


def tasks_to_read(task_list: pd.DataFrame) -> pd.DataFrame:
    """How many tasks of each block a reader gets: without practice, how many again, and practice."""
    practice, repeat = task_list["practice"] == "yes", task_list["repeat_of"] != ""
    columns = {
        "tasks": task_list[~practice & ~repeat].groupby("block").size(),
        "shown again": task_list[repeat].groupby("block").size(),
        "practice": task_list[practice].groupby("block").size(),
    }
    blocks = [block for block in BLOCKS if block != "D" or (task_list["block"] == block).any()]
    table = pd.DataFrame(columns).reindex(blocks).fillna(0).astype(int)
    return table.set_axis(pd.Index([BLOCKS[block] for block in blocks], name="block"))


def sample_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """What readings of this size can show, as `review.sample_size` works it out; shares in per cent."""
    shown = table.drop(columns="answers")
    for name in shown.columns:
        if shown[name].dtype.kind == "f":
            shown[name] = [f"{100 * value:.0f} %" if pd.notna(value) else "–" for value in shown[name]]
    shown["readers err"] = shown["readers err"].replace(
        {"on the same films": "the same", UNLIKE: "the same, unlike skill"}
    )
    shown.columns = [_short(name) for name in shown.columns]
    return shown.set_index("block")


def _short(name: str) -> str:
    """A heading of `sample_size_table` in a word or two, since the table has ten columns."""
    if name.startswith("power if "):
        return name.removeprefix("power if ").replace("% are", " %")
    if name.startswith("told from chance"):
        return "smallest detectable"
    shorter = {"readers err": "mistakes", "counted as": "worth"}
    return "equivalence" if name.startswith("power to show equivalence") else shorter.get(name, name)


def readers_accuracy(table: pd.DataFrame, readers: str) -> pd.DataFrame:
    """One row per reader: shares and area with 95 % intervals, exact p against chance, p of equivalence to chance."""
    rows = {}
    for reader, part in table.groupby("reader", sort=False):
        found = {(row.question, row.measure): row for row in part.itertuples()}
        shown = {name: _estimate(found[key], key[1] != "auc") for key, name in ASKED.items() if key in found}
        main = found.get(("real or synthetic", "accuracy"))
        if main is not None:
            shown["p, chance"], shown["p, equivalence"] = _p(main.p_chance), _p(main.p_equivalence)
        counted = (part["counted"] == "yes").any()
        rows[reader_in_words(str(reader), readers) + ("" if counted else ", not counted")] = shown
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–").rename_axis(readers)


def readers_realism(table: pd.DataFrame, readers: str) -> pd.DataFrame:
    """Means and medians of realism with their 95 % intervals, and how many films were found usable."""
    table = table[table["counted"] == "yes"]
    rows = [
        {
            readers: reader_in_words(row.reader, readers),
            "films": f"{row.label}, {row.origin}",
            "answers": row.answers,
            "mean realism (1–5)": f"{row.mean:.1f} ({row.mean_low:.1f}–{row.mean_high:.1f})",
            "median": f"{row.median:.1f} ({row.median_low:.1f}–{row.median_high:.1f})",
            "usable, %": _percent(row.usable, row.usable_low, row.usable_high),
        }
        for row in table[table["reader"] == table["reader"].iloc[-1]].itertuples()
    ] if len(table) else []  # fmt: skip
    return _indexed(rows, readers)


def readers_agreement(table: pd.DataFrame, readers: str) -> pd.DataFrame:
    """Agreement between readers, and of first with second answers: share, κ and AC1, one row per question."""
    chosen = table[table["between"].isin(["readers", "first and second answer"]) & (table["counted"] == "yes")]
    last = chosen["reader"].iloc[-1] if len(chosen) else ""
    rows = []
    for (between, question), part in chosen[chosen["reader"] == last].groupby(["between", "question"], sort=False):
        found = {re.sub("^(Fleiss|Cohen).*", "κ", row.coefficient): row for row in part.itertuples()}
        cells = {"films": part["films"].iloc[0], "agreement, %": _estimate(found["agreement"], True)}
        cells |= {name: _estimate(found[name], False) for name in ("κ", "Gwet's AC1") if name in found}
        rows.append({readers: BETWEEN.get(between, between), "question": question, **cells})
    return _indexed(rows, readers)


BETWEEN = {"readers": "between readers", "first and second answer": "with themselves, shown again"}


def readers_pairs(table: pd.DataFrame, readers: str) -> pd.DataFrame:
    """How often two films were taken for one patient's: suspected copies beside control pairs, all readers."""
    table = table[table["counted"] == "yes"]
    if table.empty:
        return _indexed([], readers)
    rows = [
        {
            readers: KINDS[row.kind], "answers": row.answers, "yes": row.yes, "no": row.no, "unsure": row.unsure,
            "taken for one patient, %": _percent(row.share_yes, row.low, row.high),
        }
        for row in table[table["reader"] == table["reader"].iloc[-1]].itertuples()
    ]  # fmt: skip
    return _indexed(sorted(rows, key=lambda row: list(KINDS.values()).index(row[readers])), readers)


def _indexed(rows: list[Mapping], readers: str) -> pd.DataFrame:
    return pd.DataFrame(rows).set_index(readers) if rows else pd.DataFrame(index=pd.Index([], name=readers))


def reader_in_words(reader: str, readers: str) -> str:
    """A reader of a group, or all of them."""
    if reader == ALL:
        return f"all {readers}"
    return f"simulated {reader}" if readers.startswith("simulated") else reader


def _estimate(row: object, in_percent: bool) -> str:
    if in_percent:
        return _percent(row.estimate, row.low, row.high)
    if pd.isna(row.estimate):
        return "–"
    bounds = "" if pd.isna(row.low) else f" ({row.low:.2f} to {row.high:.2f})"
    return f"{row.estimate:.2f}{bounds}".replace("-", "−")


def _percent(estimate: float, low: float, high: float) -> str:
    if pd.isna(estimate):
        return "–"
    return f"{100 * estimate:.0f}" + ("" if pd.isna(low) else f" ({100 * low:.0f}–{100 * high:.0f})")


def _p(value: float) -> str:
    if pd.isna(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
