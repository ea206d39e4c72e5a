"""How often intervals hold the truth, and how often verdicts are wrong: simulated studies with known answers.

In each trial the classifiers of a study answer for the same patients, with one to three films each. Every run of an arm
has a threshold and a strength of its own: hardly different from run to run (`calm`), or much (`lottery`). No arm is
better than another, so a difference that is called a gain or a loss is a false verdict. The truth of a level follows in
closed form. Every method sees the same trials:

- `patients alone`: the bootstrap over patients, the runs given;
- `patients and runs drawn`: runs are drawn anew as well, with the variance of so many (Rao & Wu 1988);
- `Satterthwaite`: Student's t on the sum of both variances;
- `this study's`: `cxrlib.evaluation.runs`, which all tables and sentences take their intervals from.

Where a study trains several generators, run k learns from the films of generator k modulo their number, and each
generator moves threshold and strength of its runs by as much as a run's own chance does; the other arm has none.

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --trials 100 --seeds 3 --films 300

Writes benchmarks/results/interval_coverage.json and .md.
"""

import argparse
import gc
import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from scipy import stats

from cxrlib.evaluation.metrics import THRESHOLD_METRICS, metrics_from_counts
from cxrlib.evaluation.resampled import Resampled, draws
from cxrlib.evaluation.runs import spread_of_runs
from cxrlib.evaluation.significance import LEVEL, PRIMARY, SECONDARY, with_verdicts
from cxrlib.evaluation.uncertainty import bootstrap_bounds
from cxrlib.files import read_json, write_json, write_text
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
METRICS = ("recall_positive", "balanced_accuracy", "roc_auc")
RESAMPLES = 250
# Films and their share of positives: as many as a small study has, and the stand-in of the real films.
SIZES = {300: 0.5, 519: 0.8}
# Standard deviations: of a patient, of a film, of a run's opinion of a film, and how much of a run its seed decides.
PATIENT, FILM, OPINION, SHARED = 1.0, 0.5, 0.4, 0.3
STRENGTH = 0.8
# Standard deviations between runs: of the threshold, of the strength.
SCENARIOS = {"calm": (0.15, 0.05), "lottery": (1.0, 0.3)}
OURS = "this study's"
METHODS = ("patients alone", "patients and runs drawn", "Satterthwaite", OURS)
# Generators, and runs that share them.
SHARED_GENERATORS = ((2, 2), (2, 4), (3, 3), (3, 6))
WANTED = (0.93, 0.97)
IDENTICAL_ARMS = 7
GENERATORS = (
    "Runs of one generator are averaged and count as one, since the generator is drawn by lot as well; `seeds` are all "
    "runs of the arm. With two generators, as with two runs, intervals are wide."
)
SINGLE_RUN = (
    "A single run shows nothing of the chance of training: its interval is over patients alone, and a study of single "
    "runs gives no verdict."
)
FALSE_VERDICTS = (
    f"Studies of {IDENTICAL_ARMS} arms as good as the baseline, {len(METRICS)} measures each; per cent of studies "
    "with at least one gain or loss. `primary` are two measures of one arm, `secondary` all others together."
)


def truth(scenario: str, generators: int = 0) -> dict[str, float]:
    """Means over all patients, runs and generators that could have been: every part of an answer is normal."""
    moved, stronger = np.array(SCENARIOS[scenario]) * (np.sqrt(2) if generators else 1)
    film = PATIENT**2 + FILM**2 + OPINION**2
    right = stats.norm.cdf(STRENGTH / np.sqrt(film + moved**2 + stronger**2))
    area = stats.norm.cdf(2 * STRENGTH / np.sqrt(2 * film + 4 * stronger**2))
    return {"recall_positive": right, "balanced_accuracy": right, "roc_auc": area}


def patients_of(films: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Patients' rows and labels of so many films: one film each in half of them, else two or three."""
    counts = random.choice([1, 2, 3], size=films, p=[0.5, 0.3, 0.2])
    who = np.repeat(np.arange(films), counts)[:films]
    return who, (random.random(who[-1] + 1) < SIZES[films])[who].astype(np.int64)


def answers(
    who: np.ndarray, labels: np.ndarray, arms: int, seeds: int, scenario: str, random: np.random.Generator,
    generators: int = 0,
) -> np.ndarray:  # fmt: skip
    """Answers of equally good arms, (arms, seeds, films); positive above 0. Runs of the same seed are alike in part.

    With `generators`, runs of all arms but the first share these.
    """
    signs = 2 * labels - 1
    film = random.normal(0, PATIENT, who[-1] + 1)[who] + random.normal(0, FILM, len(who))
    alike, apart = np.sqrt(SHARED), np.sqrt(1 - SHARED)
    moved, stronger = (
        spread * (alike * random.normal(size=(1, seeds)) + apart * random.normal(size=(arms, seeds)))
        for spread in SCENARIOS[scenario]
    )
    if generators:
        uses = np.arange(seeds) % generators
        more = [random.normal(0, spread, (arms - 1, generators))[:, uses] for spread in SCENARIOS[scenario]]
        moved[1:], stronger[1:] = moved[1:] + more[0], stronger[1:] + more[1]
    opinion = random.normal(0, OPINION, (arms, seeds, len(who)))
    return signs * (STRENGTH + stronger[..., None]) + film + moved[..., None] + opinion


def resampled(
    who: np.ndarray, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, generators: int = 0
) -> list[Resampled]:
    """Each arm's `METRICS` on the same resamples of the patients; `weights` (1 + resamples + groups, patients)."""
    arms, seeds, _ = scores.shape
    flat = scores.reshape(arms * seeds, -1)
    starts = np.searchsorted(who, np.arange(who[-1] + 1))
    positive = labels[starts] == 1
    cells = 2 * (1 - labels) + (flat < 0)
    counts = np.add.reduceat((cells[..., None] == np.arange(4)).astype(float), starts, axis=1)
    metrics = metrics_from_counts(np.einsum("rp,ape->rae", weights, counts, optimize=True))
    values = np.empty((len(weights), arms * seeds, len(METRICS)))
    values[..., :2] = metrics[..., [THRESHOLD_METRICS.index(name) for name in METRICS[:2]]]
    # Pairs in order, summed over the films of a positive and of a negative patient.
    above = (flat[:, labels == 1, None] > flat[:, None, labels == 0]).astype(float)
    for axis, label in ((1, 1), (2, 0)):
        films = who[labels == label]
        above = np.add.reduceat(above, np.flatnonzero(np.diff(films, prepend=-1)), axis=axis)
    first, second = weights[:, positive], weights[:, ~positive]
    in_order = np.einsum("arn,rn->ra", np.matmul(first[None], above), second, optimize=True)
    films_of = np.bincount(who)
    values[..., 2] = in_order / ((first @ films_of[positive]) * (second @ films_of[~positive]))[:, None]
    number = np.array([positive.sum(), *[min(positive.sum(), (~positive).sum())] * 2])
    names = tuple(range(seeds))
    found = []
    for arm, part in enumerate(np.split(values, arms, axis=1)):
        left_out = part[RESAMPLES + 1 :].mean(axis=1) - part[0].mean(axis=0)
        runs = tuple(name % generators for name in names) if generators and arm else names
        found.append(Resampled(names, runs, part[0], part[1 : RESAMPLES + 1], left_out, number))
    return found


def bounds(found: Resampled, method: str, limits: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """95 % intervals of one method, (metrics, 2)."""
    runs = len(found.seeds)
    if method == "this study's":
        intervals = found.intervals(limits)
        return np.stack([intervals.low, intervals.high], axis=1)
    if method == "patients alone" or runs == 1:
        return found.over_patients(limits)
    if method == "patients and runs drawn":
        times = random.multinomial(runs, np.full(runs, 1 / runs), size=len(found.values))
        drawn = 1 / runs + np.sqrt(runs / (runs - 1)) * (times - 1) / runs
        values = np.einsum("rs,rsq->rq", drawn, found.values)
        wider = values.var(axis=0) / np.maximum(found.values.mean(axis=1).var(axis=0), 1e-12)
        return bootstrap_bounds(found.estimates, values, found.left_out, found.patients, widened=wider)
    spread, by_patients = spread_of_runs(found.found, found.values)
    alone = found.values.mean(axis=1).var(axis=0)
    more = np.maximum(spread - by_patients, 0) / runs
    total = alone + more
    degrees = total**2 / np.maximum(more**2 / (runs - 1) + alone**2 / (found.patients - 1), 1e-24)
    reach = stats.t.isf(LEVEL / 2, degrees) * np.sqrt(total)
    return found.estimates[:, None] + reach[:, None] * np.array([-1, 1])


def weights_of(who: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.concatenate(list(draws(int(who[-1]) + 1, RESAMPLES, random)))


def coverage(films: int, scenario: str, seeds: int, trials: int) -> list[dict[str, object]]:
    """Shares of trials whose interval holds the truth, of a level and of a difference, by method and metric."""
    random = np.random.default_rng([films, list(SCENARIOS).index(scenario), seeds])
    expected = np.array(list(truth(scenario).values()))
    held = {(method, of): np.zeros(len(METRICS)) for method in METHODS for of in ("level", "difference")}
    for _ in range(trials):
        who, labels = patients_of(films, random)
        arms = resampled(who, labels, answers(who, labels, 2, seeds, scenario, random), weights_of(who, random))
        apart = arms[1].minus(arms[0], same_patients=True)
        for of, found, value, limits in (("level", arms[0], expected, (0, 1)), ("difference", apart, 0, (-1, 1))):
            for method in METHODS:
                low, high = bounds(found, method, limits, random).T
                held[method, of] += (low <= value) & (value <= high)
    return [
        {"films": films, "scenario": scenario, "seeds": seeds, "method": method, "of": of, "metric": metric,
         "covered": float(number / trials)}
        for (method, of), numbers in held.items() for metric, number in zip(METRICS, numbers, strict=True)
    ]  # fmt: skip


def coverage_of_generators(films: int, scenario: str, generators: int, seeds: int, trials: int) -> list[dict]:
    """As `coverage`, of an arm whose runs share generators, and of its difference to one without; by this study's
    method, and if runs that share a generator passed for independent ones."""
    random = np.random.default_rng([films, list(SCENARIOS).index(scenario), seeds, generators])
    expected = np.array(list(truth(scenario, generators).values()))
    methods = {OURS: generators, "runs taken for independent": 0}
    held = {(method, of): np.zeros(len(METRICS)) for method in methods for of in ("level", "difference")}
    # The arm with generators answers a little worse, as their chance blurs it: by so much does the difference differ.
    apart_by = expected - np.array(list(truth(scenario).values()))
    for _ in range(trials):
        who, labels = patients_of(films, random)
        scores = answers(who, labels, 2, seeds, scenario, random, generators)
        weights = weights_of(who, random)
        for method, shared in methods.items():
            base, arm = resampled(who, labels, scores, weights, shared)
            apart = arm.minus(base, same_patients=True)
            for of, found, value, limits in (
                ("level", arm, expected, (0, 1)),
                ("difference", apart, apart_by, (-1, 1)),
            ):
                low, high = bounds(found, OURS, limits, random).T
                held[method, of] += (low <= value) & (value <= high)
    keys = {"films": films, "scenario": scenario, "generators": generators, "seeds": seeds}
    return [
        {**keys, "method": method, "of": of, "metric": metric, "covered": float(number / trials)}
        for (method, of), numbers in held.items() for metric, number in zip(METRICS, numbers, strict=True)
    ]  # fmt: skip


def false_verdicts(films: int, scenario: str, seeds: int, trials: int) -> dict[str, object]:
    """Shares of studies with a false verdict: of the primary endpoint (area and balanced accuracy of one arm), of all
    other arms and metrics, and of these if nothing were adjusted or runs were left out of account."""
    random = np.random.default_rng([films, list(SCENARIOS).index(scenario), seeds, IDENTICAL_ARMS])
    wrong = dict.fromkeys((PRIMARY, SECONDARY, "all, not adjusted", "all, over patients alone"), 0)
    for _ in range(trials):
        who, labels = patients_of(films, random)
        scores = answers(who, labels, IDENTICAL_ARMS + 1, seeds, scenario, random)
        base, *others = resampled(who, labels, scores, weights_of(who, random))
        rows, alone = [], []
        for number, arm in enumerate(others):
            apart = arm.minus(base, same_patients=True)
            found = apart.intervals((-1, 1))
            alone.append((np.abs(np.sign(apart.over_patients()).sum(axis=1)) == 2).any())
            for column, metric in enumerate(METRICS):
                family = PRIMARY if number == 0 and metric != "recall_positive" else SECONDARY
                rows.append((family, metric, found.estimates[column], found.p_values[column]))
        table = with_verdicts(pd.DataFrame(rows, columns=["family", "metric", "difference", "p_value"]))
        clear = table["verdict"].isin(["gain", "loss"])
        for family in (PRIMARY, SECONDARY):
            wrong[family] += int(clear[table["family"] == family].any())
        wrong["all, not adjusted"] += int((table["p_value"] < LEVEL).any())
        wrong["all, over patients alone"] += int(any(alone))
    return {"films": films, "scenario": scenario, "seeds": seeds, **{key: n / trials for key, n in wrong.items()}}


def _covered(table: pd.DataFrame, keys: list[str]) -> list[str]:
    """A line per method of a design."""
    columns = list(itertools.product(("level", "difference"), METRICS))
    lines = [f"| {' | '.join([*keys, *map(', '.join, columns)])} |", "| --- " * (len(keys) + len(columns)) + "|"]
    for names, part in table.groupby(keys, sort=False):
        cells = part.set_index(["of", "metric"])["covered"]
        lines.append(f"| {' | '.join([*map(str, names), *(f'{100 * cells[column]:.1f}' for column in columns)])} |")
    return lines


def _outside(table: pd.DataFrame, of_which: str) -> list[str]:
    """How many of this study's intervals hold the truth too seldom or too often."""
    held = table.loc[table["method"] == OURS, "covered"]
    low, high = WANTED
    extremes = f"{100 * held.min():.1f} to {100 * held.max():.1f} %"
    counts = f"{(held < low).sum()} of {len(held)} hold the truth in less than {100 * low:.0f} %"
    return ["", f"{of_which} {counts} and {(held > high).sum()} in more than {100 * high:.0f} % ({extremes})."]


def report(found: dict) -> str:
    covered, shared = (pd.DataFrame(found[part]["rows"]) for part in ("coverage", "generators"))
    lines = [
        "# How often intervals hold the truth",
        "",
        f"{found['coverage']['settings']['trials']:,} simulated studies a line; per cent.",
        "",
        *_covered(covered, ["films", "scenario", "seeds", "method"]),
        "",
        SINGLE_RUN,
        *_outside(covered[covered["seeds"] > 2], "Of this study's intervals with three runs or more"),
        *_made(found["coverage"]),
        "",
        "## Where several generators are trained",
        "",
        GENERATORS,
        "",
        *_covered(shared, ["films", "scenario", "generators", "seeds", "method"]),
        *_outside(shared[shared["generators"] > 2], "Of this study's intervals with three generators"),
        *_made(found["generators"]),
    ]
    lines += ["", "## How often a verdict is wrong", "", FALSE_VERDICTS, ""]
    wrong = pd.DataFrame(found["false_verdicts"]["rows"])
    lines += [f"| {' | '.join(wrong.columns)} |", "| --- " * len(wrong.columns) + "|"]
    for row in wrong.to_dict("records"):
        lines.append(
            "| " + " | ".join(f"{100 * v:.1f}" if isinstance(v, float) else str(v) for v in row.values()) + " |"
        )
    return "\n".join([*lines, *_made(found["false_verdicts"])]) + "\n"


def _made(part: dict) -> list[str]:
    """When and where a part was measured."""
    facts = part["provenance"]
    made = f"{facts['processor']}, {facts['processor_cores']} cores, Python {facts['python']}"
    made += f", numpy {facts['packages']['numpy']}; {part['minutes']:.0f} minutes beside other programs."
    return ["", f"{part['date']}, commit {str(facts['commit'])[:12]}, {made}"]


def _designs(options: argparse.Namespace) -> Iterator[tuple[int, str, int]]:
    return itertools.product(options.films, SCENARIOS, options.seeds)


PARTS = {
    "coverage": lambda options: (coverage(*design, options.trials) for design in _designs(options)),
    "generators": lambda options: (
        coverage_of_generators(films, scenario, *shared, options.trials)
        for films, scenario, shared in itertools.product(options.films, SCENARIOS, SHARED_GENERATORS)
    ),
    "false_verdicts": lambda options: (
        [false_verdicts(*design, options.trials)] for design in _designs(options) if design[2] > 1
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--films", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS), help="others stay as they are")
    options = parser.parse_args()
    # statsmodels collects garbage in every correction, which is slow among so many modules.
    gc.freeze()
    file = RESULTS / "interval_coverage.json"
    found: dict = read_json(file) if file.exists() else {}
    for part in options.parts:
        start = datetime.now(UTC)
        settings = {"trials": options.trials, "seeds": options.seeds, "films": options.films, "resamples": RESAMPLES}
        rows = [row for design in PARTS[part](options) for row in design]
        end = datetime.now(UTC)
        found[part] = {
            "settings": settings, "rows": rows, "date": end.isoformat(timespec="minutes"),
            "minutes": (end - start).total_seconds() / 60, "provenance": provenance(REPOSITORY),
        }  # fmt: skip
    write_json(RESULTS / "interval_coverage.json", found)
    text = report(found)
    write_text(RESULTS / "interval_coverage.md", text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
