"""Check a finished study from outside: `python tests/check_results.py results/demo`.

Recomputes Table 2 from the predictions with scikit-learn alone. For a simulated study it also holds the demo to what it
is for: the hospital's films are harder than the validation films, and the synthetic films are nearer to the hospital's
than the public ones are. Ends with exit code 1 and the reasons if something is not so.
"""

import sys
from pathlib import Path

import pandas as pd
import yaml
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

LABELS = ("negative", "positive")
SMALLEST_SHIFT = 0.10


def recomputed(predictions: pd.DataFrame) -> dict[str, float]:
    """Table 2's seven figures of one seed, at threshold 0.5."""
    truth = predictions["label"]
    answer = predictions["p_positive"].ge(0.5).map({False: "negative", True: "positive"})
    precision, recall, f1, _ = precision_recall_fscore_support(truth, answer, labels=LABELS, zero_division=0)
    figures = {"accuracy": accuracy_score(truth, answer)}
    for index, label in enumerate(LABELS):
        figures |= {
            f"f1_{label}": f1[index],
            f"precision_{label}": precision[index],
            f"recall_{label}": recall[index],
        }
    return figures


def check_table2(results: Path) -> list[str]:
    """What in table2.csv differs from the predictions by more than 1e-9."""
    problems, table = [], pd.read_csv(results / "tables" / "table2.csv")
    arms = sorted(folder.name for folder in (results / "classifier").iterdir())
    if sorted(table["arm"].unique()) != arms:
        problems.append(f"table2.csv has the arms {sorted(table['arm'].unique())}, the classifiers {arms}")
    for row in table.to_dict("records"):
        seeds = []
        for seed in sorted((results / "classifier" / row["arm"]).glob("seed*")):
            found = pd.concat([pd.read_csv(file) for file in sorted(seed.glob("*/predictions.csv"))])
            seeds.append(recomputed(found[found["role"] == row["role"]]))
        for name, value in pd.DataFrame(seeds).mean().items():
            if abs(value - row[name]) > 1e-9:
                problems.append(f"{row['role']} {row['arm']} {name}: table {row[name]}, predictions {value}")
    return problems


def check_shift(results: Path) -> list[str]:
    """Whether the baseline's recall falls on the hospital's films, in the mean over seeds."""
    table = pd.read_csv(results / "tables" / "table2.csv").set_index(["role", "arm"])["recall_positive"]
    shift = table["validation", "baseline"] - table["hospital", "baseline"]
    print(f"baseline recall: validation {table['validation', 'baseline']:.3f}, hospital {shift:.3f} lower")
    return [] if shift >= SMALLEST_SHIFT else [f"recall is only {shift:.3f} lower on the hospital's films"]


def check_quality(results: Path) -> list[str]:
    """Whether synthetic films are nearer to the hospital's films than the public ones are, for each label."""
    problems = []
    table = pd.read_csv(results / "tables" / "quality.csv")
    for label, rows in table[table["fold"] == "all"].groupby("label"):
        distance = rows.set_index("comparison")["kid"]
        print(f"{label}: " + ", ".join(f"{name} {value:.4f}" for name, value in distance.items()))
        if not distance["synthetic-hospital"] < distance["public-hospital"]:
            problems.append(f"{label}: synthetic films are not nearer to the hospital's than public ones")
    return problems


def main(folder: str) -> int:
    results = Path(folder)
    study = yaml.safe_load((results / "study.yaml").read_text(encoding="utf-8"))
    problems = check_table2(results)
    if all(study["data"][role]["reader"] == "phantom" for role in ("training", "validation", "hospital")):
        problems += check_shift(results) + check_quality(results)
    print("\n".join(problems) or f"{folder}: the tables agree with the predictions")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
