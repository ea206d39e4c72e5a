"""Probabilities of films, tables of predictions, and finished classifiers read back."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cxrlib.checkpoints import load_weights
from cxrlib.classifiers.network import PixelStatistics, as_pixels, evaluating, normalise
from cxrlib.errors import InputError
from cxrlib.features import build_network
from cxrlib.files import read_json
from cxrlib.films.images import ImageSet
from cxrlib.films.settings import EVERY_ROLE, LABELS

PREDICTION_COLUMNS = ("image_id", "patient_id", "role", "label", "p_positive")
PREDICTION_BATCH = 64
JUDGED_ROLES = EVERY_ROLE[1:]


@torch.inference_mode()
def predict_probabilities(network: nn.Module, images: np.ndarray | Tensor, statistics: PixelStatistics) -> np.ndarray:
    """Softmax probability of `positive`, uint8 (N, S, S) to float64 (N,), in evaluation mode and float32.

    No augmentation. The network's mode is restored, layer by layer, when done. Raises `InputError` if a probability
    is no number.
    """
    device = next(network.parameters()).device
    outputs = []
    with evaluating(network):
        for start in range(0, len(images), PREDICTION_BATCH):
            batch = images[start : start + PREDICTION_BATCH]
            batch = batch if isinstance(batch, Tensor) else torch.from_numpy(np.array(batch))
            outputs.append(network(normalise(as_pixels(batch.to(device)), statistics)).double().softmax(dim=1)[:, 1])
    p_positive = torch.cat(outputs).cpu().numpy()
    if not np.isfinite(p_positive).all():
        raise InputError(
            f"predictions: found {int((~np.isfinite(p_positive)).sum())} of {len(p_positive)} probabilities that are "
            "no numbers: the network's weights diverged; lower `classifier.maximum_learning_rate` and train again"
        )
    return p_positive


def predictions_table(films: ImageSet, role: str, p_positive: np.ndarray) -> pd.DataFrame:
    """One row per film, in the manifest's order; columns `PREDICTION_COLUMNS`."""
    labels = np.array(LABELS)[np.asarray(films.labels)]
    return pd.DataFrame(
        {
            "image_id": films.manifest["image_id"].to_numpy(),
            "patient_id": films.manifest["patient_id"].to_numpy(),
            "role": role,
            "label": labels,
            "p_positive": p_positive,
        }
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """A checked predictions.csv; identifiers stay text. Raises `InputError`."""
    try:
        columns = dict.fromkeys(PREDICTION_COLUMNS[:-1], str)
        table = pd.read_csv(path, dtype=columns, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read as predictions: {error}") from None
    if list(table.columns) != list(PREDICTION_COLUMNS):
        raise InputError(f"{path}: found columns {list(table.columns)}, expected {list(PREDICTION_COLUMNS)}")
    p_positive = pd.to_numeric(table["p_positive"], errors="coerce")
    wrong = ~p_positive.between(0, 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        found = table["p_positive"].iloc[row]
        raise InputError(f"{path}: line {row + 2}: p_positive: found {found!r}, expected a number from 0 to 1")
    unknown = ~table["label"].isin(LABELS) | ~table["role"].isin(JUDGED_ROLES)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        found = table.loc[table.index[row], ["role", "label"]].tolist()
        raise InputError(
            f"{path}: line {row + 2}: found role and label {found}, expected one of {JUDGED_ROLES} and one of {LABELS}"
        )
    return table.assign(p_positive=p_positive.astype("float64"))


def load_classifier(folder: Path) -> tuple[nn.Module, PixelStatistics]:
    """A finished classifier in evaluation mode, on the CPU, and the statistics its films are normalised with.

    Raises `InputError` if it is not finished, is damaged, or holds the weights of another network.
    """
    record = read_json(folder / "config.json")
    name = record["settings"]["classifier"]["network"]
    network = build_network(name, "none", outputs=2)
    load_weights(network, folder / "model.safetensors", f"expected those of {name}; train it again with --force")
    return network.eval(), PixelStatistics(record["pixel_mean"], record["pixel_std"])
