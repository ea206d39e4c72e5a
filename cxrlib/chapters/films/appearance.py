"""How the films of the roles look: four numbers per film, and a map of the films."""

from typing import Any

import numpy as np
import pandas as pd

from cxrlib.evaluation.ranking import separation
from cxrlib.films.appearance import (
    MEASURES,
    map_of_films,
    measure_films,
    principal_components,
    share_of_like_neighbours,
)
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.generators.quality import describe_features, film_features
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

QUANTILES = {f"percentile_{percent}": percent / 100 for percent in (5, 25, 50, 75, 95)}
FILMS_ON_MAP = 150
NEIGHBOURS = 10


def films_by_measure(study: Study) -> pd.DataFrame:
    """The spread of each measure of `MEASURES` in the films of each role, both labels together and apart.

    Columns role, label (`both`, `negative`, `positive`), measure, films, percentile_5, _25, _50, _75, _95. In rows of
    both labels also `above_training`, the chance that a film of the role has a greater value than a film of training of
    the same label, with `_low` and `_high` by bootstrap over patients (one half: the measure tells nothing). Films of
    one label are compared, since roles differ in their shares of positives, which is no matter of looks.
    """
    manifests, measured = {}, {}
    for role in study.roles:
        films = load_image_set(study, role, study.classifier.image_size)
        manifests[role], measured[role] = films.manifest, measure_films(films.images)
    rows = []
    for role in study.roles:
        labels = manifests[role]["label"].to_numpy()
        for measure in MEASURES:
            values = measured[role][measure].to_numpy()
            for label in ("both", *LABELS):
                chosen = values if label == "both" else values[labels == label]
                spread = dict(zip(QUANTILES, np.quantile(chosen, list(QUANTILES.values())), strict=True))
                row = {"role": role, "label": label, "measure": measure, "films": len(chosen), **spread}
                if label == "both" and role != "training":
                    row |= _above_training(study, role, measure, measured, manifests)
                rows.append(row)
    return pd.DataFrame(rows)


def _above_training(study: Study, role: str, measure: str, measured: dict, manifests: dict) -> dict[str, float]:
    both = ("training", role)
    groups = np.repeat([0, 1], [len(measured[name]) for name in both])
    values = np.concatenate([measured[name][measure].to_numpy() for name in both])
    patients = np.concatenate([f"{name}/" + manifests[name]["patient_id"].to_numpy(str) for name in both])
    seed = seed_for(study.seed, "bootstrap", "shift", role)
    labels = np.concatenate([manifests[name]["label"].to_numpy(str) for name in both])
    found = separation(groups, values, patients, seed=seed, parts=labels, resamples=500)
    return {"above_training": found.estimate, "above_training_low": found.low, "above_training_high": found.high}


def film_map(study: Study) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Films as points of a plane by a network's features, and how often neighbours are of one role or one label.

    At most `FILMS_ON_MAP` films of each role and label, drawn at random. The table has x, y, role, label and no id. The
    second says how many films, whose features, and, measured in the features and not on the plane, the share of each
    film's nearest films of other patients that are of its own role (with what chance would give), and within each
    role of its own label.
    """
    images, manifest = _drawn(study)
    features = film_features(study, images)
    points = map_of_films(features, seed=seed_for(study.seed, "map of films") % 2**32)
    components = principal_components(features)
    role, label = manifest["role"].to_numpy(), manifest["label"].to_numpy()
    patients = manifest["role"].to_numpy(str) + "/" + manifest["patient_id"].to_numpy(str)
    facts = {
        "films": len(manifest),
        "count": NEIGHBOURS,
        "features": describe_features(study),
        "same_role": share_of_like_neighbours(components, role, patients, NEIGHBOURS),
        "same_role_by_chance": 1 / manifest["role"].nunique(),
        "same_label": {
            name: share_of_like_neighbours(components[role == name], label[role == name], patients[role == name])
            for name in study.roles
        },
    }
    table = pd.DataFrame({"x": points[:, 0].round(3), "y": points[:, 1].round(3), "role": role, "label": label})
    return table.loc[_order(study, table)], facts


def films_on_map(study: Study) -> np.ndarray:
    """The films of `film_map`, uint8 (n, S, S), in the order of its table."""
    images, manifest = _drawn(study)
    return images[_order(study, manifest)]


def _order(study: Study, films: pd.DataFrame) -> np.ndarray:
    """Rows in an order that tells nothing of where a film stood."""
    return films.sample(frac=1, random_state=seed_for(study.seed, "order on map") % 2**32).index.to_numpy()


def _drawn(study: Study) -> tuple[np.ndarray, pd.DataFrame]:
    """Equally many films of each role and label, so that by chance a neighbour is as often of any."""
    films = {role: load_image_set(study, role, study.classifier.image_size) for role in study.roles}
    per_label = min(
        FILMS_ON_MAP, *(int((films[role].manifest["label"] == label).sum()) for role in study.roles for label in LABELS)
    )
    images, manifests = [], []
    for role in study.roles:
        random = np.random.default_rng(seed_for(study.seed, "map", role))
        labels = films[role].manifest["label"].to_numpy()
        rows = [random.choice(np.flatnonzero(labels == label), per_label, replace=False) for label in LABELS]
        chosen = films[role].select(np.sort(np.concatenate(rows)))
        images.append(chosen.images)
        manifests.append(chosen.manifest.assign(role=role))
    return np.concatenate(images), pd.concat(manifests, ignore_index=True)
