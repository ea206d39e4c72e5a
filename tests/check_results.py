"""Check a finished study from outside: `python tests/check_results.py results/demo`.

Recomputes Table 2 from the predictions with scikit-learn alone, at threshold 0.5 and at each model's own, and holds the
tables of differences against it. For a simulated study it also holds the demo to what it is for: the hospital's films
are harder than the validation films, and the synthetic films are nearer to the hospital's than the public ones are.
Ends with exit code 1 and the reasons if something is not so.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sklearn import metrics

from cxrlib.features import extract_features
from cxrlib.generators.quality import neighbour_measures

LABELS = ("negative", "positive")
SMALLEST_SHIFT = 0.10
# Demo: at least so many synthetic films lie among the hospital's, and the other way round, to a coarse eye.
LEAST_SHARE = 0.5
DRAWS = 20
TOLERANCE = 1e-9


def within_folds(answers: pd.DataFrame, measure, weights) -> float:
    """A measure of the ranking, film against film of the same fold, averaged with these weights over folds."""
    parts = [part for _, part in answers.groupby("ranked_in") if part["label"].nunique() == 2]
    values = [measure(part["label"] == "positive", part["p_positive"]) for part in parts]
    return float(np.average(values, weights=[weights(part["label"] == "positive") for part in parts]))


def recomputed(answers: pd.DataFrame, operating_point: str) -> dict[str, float]:
    """Table 2's figures of one seed, from its models' predictions, thresholds and temperatures."""
    truth, p = answers["label"], answers["p_positive"]
    threshold = 0.5 if operating_point == "fixed" else answers["threshold"]
    answer = p.ge(threshold).map({False: "negative", True: "positive"})
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, answer, labels=LABELS, zero_division=0)
    figures = {"accuracy": metrics.accuracy_score(truth, answer)}
    for index, label in enumerate(LABELS):
        figures |= {f"f1_{label}": f1[index], f"precision_{label}": precision[index], f"recall_{label}": recall[index]}
    figures["balanced_accuracy"] = recall.mean()
    figures["mcc"] = metrics.matthews_corrcoef(truth, answer)
    positive = truth == "positive"
    figures["roc_auc"] = within_folds(
        answers, metrics.roc_auc_score, lambda positive: positive.sum() * (~positive).sum()
    )
    figures["average_precision"] = within_folds(answers, metrics.average_precision_score, np.sum)
    odds = (p.clip(1e-12, 1 - 1e-12) / (1 - p).clip(1e-12, 1 - 1e-12)) ** (1 / answers["temperature"])
    figures["brier"] = ((p - positive) ** 2).mean()
    figures["brier_calibrated"] = ((odds / (1 + odds) - positive) ** 2).mean()
    return figures


def answers_of(seed: Path, folds: dict[str, str]) -> pd.DataFrame:
    """Predictions of one arm and seed, of all folds, each with its model's threshold and temperature, and the fold
    within which it is ranked: that of the film (`folds`) at the hospital, the model's own at validation."""
    parts = []
    for file in sorted(seed.glob("*/predictions.csv")):
        facts = json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
        chosen = {"threshold": facts["threshold_validation"], "temperature": facts["temperature"]}
        table = pd.read_csv(file).assign(**chosen)
        ranked_in = table["image_id"].astype(str).map(folds).where(table["role"] == "hospital", file.parent.name)
        parts.append(table.assign(ranked_in=ranked_in))
    return pd.concat(parts)


def folds_of(results: Path) -> dict[str, str]:
    """The fold of each hospital film, from the cross-fitted arms; all in one where there is none."""
    folds = {}
    for file in sorted(results.glob("classifier/*/seed0/*/predictions.csv")):
        table = pd.read_csv(file).query("role == 'hospital'")
        for film in table["image_id"].astype(str):
            if folds.get(film, "all") == "all":
                folds[film] = file.parent.name
    return folds


def check_table2(results: Path) -> list[str]:
    """What in table2.csv and table2_seeds.csv differs from the predictions by more than 1e-9."""
    problems, table = [], pd.read_csv(results / "tables" / "table2.csv")
    by_seed = pd.read_csv(results / "tables" / "table2_seeds.csv").set_index(["role", "arm", "operating_point", "seed"])
    arms = sorted(folder.name for folder in (results / "classifier").iterdir())
    if sorted(table["arm"].unique()) != arms:
        problems.append(f"table2.csv has the arms {sorted(table['arm'].unique())}, the classifiers {arms}")
    folds = folds_of(results)
    for row in table.to_dict("records"):
        point, seeds = row["operating_point"], {}
        for seed in sorted((results / "classifier" / row["arm"]).glob("seed*")):
            found = answers_of(seed, folds)
            number = int(seed.name.removeprefix("seed"))
            seeds[number] = recomputed(found[found["role"] == row["role"]], point)
            shown = by_seed.loc[(row["role"], row["arm"], point, number)]
            problems += _differing(f"{row['role']} {row['arm']} {point} seed {number}", seeds[number], shown)
        means = pd.DataFrame(seeds.values()).mean().to_dict()
        problems += _differing(f"{row['role']} {row['arm']} {point}", means, row)
        for name in means:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            if np.isnan([low, high]).any() or not low - TOLERANCE <= row[name] <= high + TOLERANCE:
                problems.append(f"{row['role']} {row['arm']} {point} {name}: {row[name]} lies outside [{low}, {high}]")
    return problems


def check_differences(results: Path) -> list[str]:
    """What in differences.csv is not the difference of two rows of table2.csv."""
    keys = ["role", "arm", "operating_point"]
    table = pd.read_csv(results / "tables" / "table2.csv").set_index(keys)
    problems = []
    for row in pd.read_csv(results / "tables" / "differences.csv").itertuples():
        if row.metric not in table:
            continue
        ours, base = (table.loc[(row.role, arm, row.operating_point), row.metric] for arm in (row.arm, "baseline"))
        if abs(ours - base - row.difference) > TOLERANCE:
            problems.append(f"{row.role} {row.arm} {row.metric}: difference {row.difference}, Table 2 {ours - base}")
    return problems


def _differing(where: str, expected: dict, shown: pd.Series | dict) -> list[str]:
    return [
        f"{where} {name}: table {shown[name]}, predictions {value}"
        for name, value in expected.items()
        if not abs(value - shown[name]) <= TOLERANCE
    ]


def check_shift(results: Path) -> list[str]:
    """Whether the baseline's recall falls on the hospital's films, in the mean over seeds."""
    table = pd.read_csv(results / "tables" / "table2.csv").query("operating_point == 'fixed'")
    table = table.set_index(["role", "arm"])["recall_positive"]
    shift = table["validation", "baseline"] - table["hospital", "baseline"]
    print(f"baseline recall: validation {table['validation', 'baseline']:.3f}, hospital {shift:.3f} lower")
    return [] if shift >= SMALLEST_SHIFT else [f"recall is only {shift:.3f} lower on the hospital's films"]


def check_quality(results: Path) -> list[str]:
    """Whether synthetic films are nearer to the hospital's films than the public ones are, for each label and fold.

    The judge with trained weights decides who is nearer. That the films lie among the hospital's, and reach them, is
    asked of a random network, the coarse eye for which `LEAST_SHARE` was set: to trained eyes, films of generators that
    learned for minutes on a processor are told apart from the hospital's, and the book says so.
    """
    problems = []
    table = pd.read_csv(results / "tables" / "quality.csv")
    for (label, fold), rows in table.groupby(["label", "fold"]):
        distance = rows.set_index(["measure", "comparison"])["estimate"]["kid"]
        print(f"{label} {fold}: " + ", ".join(f"{name} {value:.4f}" for name, value in distance.items()))
        if not distance["synthetic-hospital"] < distance["public-hospital"]:
            problems.append(f"{label} {fold}: synthetic films are not nearer to the hospital's than public ones")
        for measure, share in coarse_shares(results, label, fold).items():
            print(f"{label} {fold}: {measure} {share:.2f} to a random network")
            if not share >= LEAST_SHARE:
                problems.append(f"{label} {fold}: {measure} of the synthetic films is {share:.2f}")
    return problems


def coarse_shares(results: Path, label: str, fold: str) -> dict[str, float]:
    """Precision and recall of a label's synthetic films by the features of a random ResNet-18.

    Means over draws of half the hospital's films and as many synthetic ones, as the quality table draws them.
    """
    manifest = pd.read_csv(results / "data" / "hospital" / "manifest.csv")
    study = yaml.safe_load((results / "study.yaml").read_text(encoding="utf-8"))
    resolution, seed = study["gan"]["resolution"], study["seed"]
    own = (manifest["label"] == label) & ((manifest["fold"] == fold) | (fold == "all"))
    real = np.load(results / "data" / "hospital" / f"images-{resolution}.npy")[own.to_numpy()]
    synthetic = np.load(results / "synthetic" / label / fold / "images.npy")
    number = min(len(real) // 2, len(synthetic))
    own, other = (extract_features(films, network="resnet18", weights="none", seed=seed) for films in (real, synthetic))
    random = np.random.default_rng(seed)
    drawn = [
        neighbour_measures(random.permutation(own)[:number], random.permutation(other)[:number]) for _ in range(DRAWS)
    ]
    return {name: float(np.mean([measures[name] for measures in drawn])) for name in ("precision", "recall")}


def main(folder: str) -> int:
    results = Path(folder)
    study = yaml.safe_load((results / "study.yaml").read_text(encoding="utf-8"))
    problems = check_table2(results) + check_differences(results)
    if all(study["data"][role]["reader"] == "phantom" for role in ("training", "validation", "hospital")):
        problems += check_shift(results) + check_quality(results)
    print("\n".join(problems) or f"{folder}: the tables agree with the predictions")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
