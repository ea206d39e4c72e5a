"""What the tables say, in sentences whose numbers and verdicts follow the intervals.

Every difference is given with its interval over patients and seeds. Recall of positives is the headline: the share of
positive films that are found. A film is called positive from a probability of one half upwards, as in the paper;
`threshold` says what another choice changes.
"""

from collections.abc import Mapping

import pandas as pd

from cxrlib.chapters.results.statements_of_arms import class_weighted, dose, rebalancing, synthetic_only
from cxrlib.chapters.wording import Evidence, joined, percentage, signed

ORDER = (
    "answer", "training_chance", "shift", "gain", "leakage", "rebalancing", "class_weighted", "price",
    "equal_precision", "threshold", "synthetic_only", "dose", "tests", "source_rule",
)  # fmt: skip
SIGNIFICANCE = 0.05
VERBS = {"gain": "raise", "loss": "lower", "no clear difference": "do not clearly change"}


def make_statements(tables: Mapping[str, pd.DataFrame], *, simulated: bool) -> dict[str, str]:
    """Sentences by key, from the tables of results by name (see `cxrlib.chapters.results.tables`).

    `answer`: one sentence. `training_chance`: whether runs or patients make the uncertainty. `shift`: from validation
    to hospital. `gain`: the paper's claim. `leakage`: what of it stays when no generator saw the films under test.
    `rebalancing`, `class_weighted`: what a better balance gives without synthetic films. `price`: what happens to the
    negatives. `equal_precision`: recall where arms are equally precise. `threshold`: what a threshold from validation
    changes. `synthetic_only`, `dose`, `tests`, `source_rule`. `paper`: what the paper's own counts allow one to
    conclude. `answer_long`: all but the last. A sentence about an arm that the study lacks says so. `simulated` says
    which kind of films the sentences are about.
    """
    films = "simulated hospital films" if simulated else "hospital's films"
    found = Evidence(tables)
    sentences = {
        "answer": _answer(found, films),
        "training_chance": _training_chance(found),
        "shift": _shift(found, films),
        "gain": _gain(found, films),
        "leakage": _leakage(found),
        "rebalancing": rebalancing(found),
        "class_weighted": class_weighted(found),
        "price": _price(found),
        "equal_precision": _equal_precision(found),
        "threshold": _threshold(found),
        "synthetic_only": synthetic_only(found),
        "dose": dose(found),
        "tests": _tests(found),
        "source_rule": _source_rule(found),
    }
    scope = (
        "All films are simulated: this shows how the study works, not how well it works on patients."
        if simulated
        else "Intervals are 95 %, from resampling patients and training runs; they do not cover other hospitals or "
        "other generators."
    )
    sentences["answer_long"] = " ".join([*(sentences[key] for key in ORDER), scope])
    sentences["paper"] = _paper(found)
    return sentences


def headline_arm(found: Evidence) -> str | None:
    """The arm that the answer is about: leak-free if the study has it."""
    return next((arm for arm in ("synthetic-crossfit", "synthetic") if found.difference(arm)), None)


def _answer(found: Evidence, films: str) -> str:
    """What synthetic films do to positives and to negatives; then the other arms."""
    arm = headline_arm(found)
    if arm is None:
        return f"This study has no arm with synthetic films, so it does not say what they change on the {films}."
    headline, negatives = found.difference(arm), found.difference(arm, "recall_negative")
    fair = arm == "synthetic-crossfit"
    sentence = (
        f"On the {films}, synthetic films {VERBS[headline.verdict]} the recall of positives ({headline}) and "
        f"{VERBS[negatives.verdict]} the recall of negatives ({negatives}) when their generators "
        f"{'never saw' if fair else 'saw'} the films under test"
    )
    leaky, balanced = found.difference("synthetic"), found.difference("oversampled")
    others = [f"{leaky} when they did"] if fair and leaky else []
    others += [f"{balanced} by rebalancing alone"] if balanced else []
    return f"{sentence}; the recall of positives changes by {' and by '.join(others)}." if others else f"{sentence}."


def _training_chance(found: Evidence) -> str:
    arm = headline_arm(found) or "baseline"
    headline, seeds = found.difference(arm), min(found.seeds(arm), found.seeds("baseline"))
    if seeds < 2:
        return "Each arm was trained once, so no interval holds the chance of training: another run may differ."
    if headline is None:
        return f"Each arm was trained {seeds} times, and the intervals hold the chance of training."
    if headline.seeds_dominate:
        return (
            f"Most of this uncertainty is the chance of training: over patients alone the interval would be "
            f"[{signed(headline.patients_low)}, {signed(headline.patients_high)}], and {seeds} runs an arm are few to "
            "measure the rest by."
        )
    return (
        f"Most of this uncertainty comes from which patients were seen, not from the {seeds} training runs of each "
        f"arm: over patients alone the interval would be [{signed(headline.patients_low)}, "
        f"{signed(headline.patients_high)}]."
    )


def _shift(found: Evidence, films: str) -> str:
    before, after, change = found.level("baseline", role="validation"), found.level("baseline"), found.shift("baseline")
    if before is None or after is None or change is None:
        return "How far the baseline falls from validation to the hospital is not known: the study has no baseline."
    outcome = {
        "loss": "it loses recall between the two",
        "gain": "it gains recall between the two",
        "no clear difference": "no clear difference",
    }[change.verdict]
    return (
        f"Trained on public films alone, the classifier finds {before} of the positives at validation and {after} "
        f"among the {films}: {outcome}, {change}."
    )


def _gain(found: Evidence, films: str) -> str:
    after, effect = found.level("synthetic"), found.difference("synthetic")
    if effect is None or after is None:
        return "What synthetic films of generators trained on all of the hospital's films give was not tried."
    start = f"With synthetic films added, as in the paper, it finds {after} of the positives among the {films}"
    if effect.verdict == "no clear difference":
        return f"{start}: no clear difference, {effect}; and these generators saw the films under test."
    return f"{start}, a {effect.verdict} of {effect}; but these generators saw the films under test."


def _leakage(found: Evidence) -> str:
    leaky, fair = found.difference("synthetic"), found.difference("synthetic-crossfit")
    if fair is None:
        return "Whether the gain stands without leakage was not tried: the study has no cross-fitted arm."
    kept = {
        "gain": "there is a gain without leakage",
        "loss": "there is a loss without leakage",
        "no clear difference": "without leakage there is no clear difference",
    }[fair.verdict]
    sentence = f"With generators that never saw the films under test the change is {fair}: {kept}"
    contrast = found.difference("synthetic-crossfit", reference="synthetic")
    if leaky is None or contrast is None:
        return f"{sentence}."
    if leaky.verdict == "gain":
        sentence += f" (of {signed(leaky.value)} points, {signed(fair.value)} are kept)"
    leak = {
        "gain": f"and these generators do better than the ones that did see them ({contrast})",
        "loss": f"and part of what the paper's way shows is leakage, or is owed to the films that these generators did "
        f"without ({contrast})",
        "no clear difference": f"and removing the leak makes no clear difference ({contrast})",
    }[contrast.verdict]
    return f"{sentence}, {leak}."


def _price(found: Evidence) -> str:
    arm = headline_arm(found)
    if arm is None:
        return "What synthetic films cost among the negatives was not tried."
    saw = "never saw" if arm == "synthetic-crossfit" else "saw"
    negatives, precision = found.difference(arm, "recall_negative"), found.difference(arm, "precision_positive")
    return (
        f"The same films, by generators that {saw} the films under test, change the recall of negatives by {negatives} "
        f"({negatives.verdict}) and the precision of a positive answer by {precision} ({precision.verdict})."
    )


def _equal_precision(found: Evidence) -> str:
    arm = headline_arm(found)
    compared = found.at_equal_precision(arm) if arm else None
    base = found.at_equal_precision("baseline")
    if arm is None:
        return "What synthetic films give at equal precision was not tried."
    if compared is None or base is None:
        return (
            "At equal precision the arms can't be compared: in some run the baseline calls no film positive, or hardly "
            "any, and then its precision does not exist."
        )
    row, apart = compared
    outcome = {
        "gain": "a gain that is not owed to calling more films positive",
        "loss": "a loss",
        "no clear difference": "no clear difference, so moving the baseline's threshold might have done as much",
    }[apart.verdict]
    return (
        f"At equal precision ({100 * row['precision']:.1f} %, the baseline's) the thresholds of most recall find "
        f"{percentage(row['recall'], row['headline_low'], row['headline_high'])} of the positives with synthetic films "
        f"and {100 * base[0]['recall']:.1f} % without: {outcome} ({apart})."
    )


def _threshold(found: Evidence) -> str:
    arm = headline_arm(found) or "baseline"
    start = "A film is called positive from a probability of one half upwards, as in the paper"
    fixed, chosen = found.difference(arm), found.difference(arm, operating_point="validation")
    if fixed is None or chosen is None:
        return f"{start}."
    negatives = found.difference(arm, "recall_negative", operating_point="validation")
    same = "the verdict stays" if fixed.verdict == chosen.verdict else f"the verdict becomes: {chosen.verdict}"
    return (
        f"{start}; with each model's threshold chosen on validation films instead, the recall of positives changes by "
        f"{chosen} and that of negatives by {negatives}: {same}."
    )


def _tests(found: Evidence) -> str:
    arm = headline_arm(found)
    table = found.rows("tests", role="hospital", arm=arm)
    if arm is None or table.empty:
        return "No arm with synthetic films was tested against the baseline."
    parts = []
    for test, words in (
        ("mcnemar", "answers film by film (McNemar's exact test)"),
        ("delong", "areas under the ROC curve (DeLong's test by patient)"),
    ):
        p_values = table.loc[table["test"] == test, "p_holm"]
        if len(p_values):
            parts.append(f"the {words} in {int((p_values < SIGNIFICANCE).sum())} of {len(p_values)}")
    runs = "runs" if table["seed"].nunique() > 1 else "run"
    return (
        f"Between the {runs} of {arm} and of baseline, these differ at the 5 % level after Holm's correction over "
        f"all arms and runs: {joined(parts)}."
    )


def _source_rule(found: Evidence) -> str:
    rule, baseline = (found.level(arm, "accuracy", "validation") for arm in ("source-rule", "baseline"))
    if rule is None:
        return "How far the source alone gives the label away was not tried as an arm."
    return (
        f"A rule that looks at nothing but where a film comes from answers {rule} of the validation films rightly; the "
        f"baseline, {baseline}."
    )


def _paper(found: Evidence) -> str:
    """From the paper's own counts, of its hospital films."""
    parts = []
    for metric, words in (
        ("recall_positive", "of its positives"),
        ("recall_negative", "of its negatives"),
        ("accuracy", "of all its films"),
    ):
        row = found.row("paper_conclusions", dataset="test", metric=metric)
        outcome = {
            "different": "more than chance, however the errors overlap",
            "not different": "no more than chance allows, however the errors overlap",
            "undecided": "which may or may not be chance, depending on how the errors overlap",
        }[row["verdict"]]
        parts.append(
            f"{row['right']} instead of {row['right_reference']} {words} right among {row['films']}, {outcome} (exact "
            f"McNemar p from {_p(row['p_lowest'])} to {_p(row['p_highest'])})"
        )
    return (
        f"The paper's model with synthetic films answered {joined(parts)}. That is for one run of each model, films "
        "taken for independent, and generators that saw the films; its counts can't tell leakage or balance from gain."
    )


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "below 0.0001"
