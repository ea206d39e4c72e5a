"""What the judge of films sees: how far seven faults move the kernel distance, and how often its interval is right.

    python benchmarks/judge.py DATA/case_reports

needs a folder with labels.csv (file, patient_id, label) and real films. The positives are parted by patient in two
halves, many times; one half is compared with the other as it is and with a fault. A fault's effect is the mean change
of the kernel distance over the standard deviation between halves: below about 2 it drowns in chance. The
interval is tried on patients drawn again and again from these films, whose true distance is then a matter of counting.
Prints Markdown.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrlib.features import extract_features
from cxrlib.generators.kernel_distance import kernel_distance
from cxrlib.generators.quality import left_from_right, side_distance

SIDE, SPLITS, SEED = 224, 40, 1
JUDGES = {"random ResNet-18": ("resnet18", "none"), "EfficientNet-Lite0": ("efficientnet_lite0", "imagenet")}


def faults() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Each fault as a function of films, float (N, S, S)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    noise = np.random.default_rng(SEED).normal(0, 6, (SIDE, SIDE))
    block = (abs(rows - 0.6 * SIDE) < 0.1 * SIDE) & (abs(columns - 0.35 * SIDE) < 0.1 * SIDE)
    band = np.exp(-(((rows / SIDE - 0.2) / 0.07) ** 4))
    return {
        "blur, sd 1.5 px": lambda films: gaussian_filter(films, (0, 1.5, 1.5)),
        "noise, sd 6": lambda films: films + np.stack([np.roll(noise, 17 * k, (0, 1)) for k in range(len(films))]),
        "checkerboard of 4 px, ± 3": lambda films: films + 3 * (((rows // 4 + columns // 4) % 2) * 2 - 1),
        "grey block": lambda films: np.where(block, films.mean((1, 2), keepdims=True), films),
        "stripes of 8 px, ± 3": lambda films: films + 3 * np.sign(np.sin(rows * np.pi / 8 + 0.1)),
        "clavicles smoothed away": lambda films: films * (1 - band) + gaussian_filter(films, (0, 12, 12)) * band,
        "mirrored": lambda films: films[:, :, ::-1],
    }


def halves(patients: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    names = random.permutation(np.unique(patients))
    first = np.isin(patients, names[: len(names) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def sensitivity(films: np.ndarray, patients: np.ndarray) -> pd.DataFrame:
    """Effect of each fault by each judge and by the distance of sides, in units of its spread between halves."""
    changed = {"none": films} | {
        name: fault(films.astype(np.float32)).round().clip(0, 255).astype(np.uint8) for name, fault in faults().items()
    }
    splits = [halves(patients, np.random.default_rng(k)) for k in range(SPLITS)]
    table: dict[str, dict[str, float]] = {}
    for judge, (network, weights) in JUDGES.items():
        seen = {name: extract_features(part, network=network, weights=weights) for name, part in changed.items()}
        table[judge] = _effects(seen, splits, lambda a, b: kernel_distance(a, b).estimate)
    sides = {name: left_from_right(part) for name, part in changed.items()}
    table["left against right"] = _effects(sides, splits, side_distance)
    return pd.DataFrame(table)


def _effects(
    seen: dict[str, np.ndarray], splits: list, distance: Callable[[np.ndarray, np.ndarray], float]
) -> dict[str, float]:
    found = {name: np.array([distance(seen["none"][a], part[b]) for a, b in splits]) for name, part in seen.items()}
    plain = found.pop("none")
    return {name: float((values - plain).mean() / plain.std(ddof=1)) for name, values in found.items()}


def coverage(features: np.ndarray, table: pd.DataFrame, draws: int) -> pd.DataFrame:
    """How often the interval between positives and negatives holds the truth, patients drawn with replacement."""
    crowds = []
    for label in ("positive", "negative"):
        of_patients = table.reset_index()[table["label"] == label].groupby("patient_id").indices
        rows = np.flatnonzero(table["label"] == label)
        crowds.append([features[rows[places]] for places in of_patients.values()])
    whole = [np.concatenate(crowd).astype(np.float64) for crowd in crowds]
    kernel = [[((a @ b.T / a.shape[1] + 1) ** 3).mean() for b in whole] for a in whole]
    truth = kernel[0][0] + kernel[1][1] - 2 * kernel[0][1]
    random, rows = np.random.default_rng(SEED), []
    for people in ((96, 18), (96, 60), (200, 100)):
        hits = []
        for _ in range(draws):
            drawn = [
                [crowd[k] for k in random.integers(0, len(crowd), n)] for crowd, n in zip(crowds, people, strict=True)
            ]
            groups = [np.repeat(np.arange(len(part)), [len(films) for films in part]) for part in drawn]
            low, high = kernel_distance(*(np.concatenate(part) for part in drawn), *groups).bounds()
            hits.append((low <= truth <= high, high - low))
        held, width = np.mean(hits, 0)
        rows.append((f"{people[0]} and {people[1]}", draws, 100 * held, width / truth))
    return pd.DataFrame(rows, columns=["patients", "draws", "interval held the truth, %", "width over truth"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--draws", type=int, default=1000)
    asked = options.parse_args()
    table = pd.read_csv(asked.folder / "labels.csv")
    opened = (Image.open(asked.folder / name).convert("L") for name in table["file"])
    films = np.stack([np.asarray(film.resize((SIDE, SIDE), Image.Resampling.BOX)) for film in opened])
    positive = (table["label"] == "positive").to_numpy()
    patients = table["patient_id"].to_numpy(str)
    found = sensitivity(films[positive], patients[positive])
    print(f"Effect of a fault, {positive.sum()} films of {len(set(patients[positive]))} patients, {SPLITS} halves:\n")
    print(found.round(1).to_markdown() + "\n")
    features = extract_features(films, network="efficientnet_lite0", weights="imagenet")
    print(coverage(features, table, asked.draws).round(2).to_markdown(index=False))


if __name__ == "__main__":
    main()
