"""Made-up predictions for the tests of the evaluation."""

import numpy as np
import pandas as pd


def make_predictions(arms=("baseline", "synthetic"), seeds=2, patients=40, films=2, better=0.0, random_seed=0):
    """Several films a patient; `better` is added to what the arms after the first say of positives."""
    random = np.random.default_rng(random_seed)
    rows = []
    for role in ("validation", "hospital"):
        difficulty = random.normal(0, 0.15, patients)
        for arm in arms:
            for seed in range(seeds):
                for film in range(films * patients):
                    patient = film // films
                    positive = patient % 2
                    score = 0.4 + 0.25 * positive + difficulty[patient] + random.normal(0, 0.1)
                    score += better * positive * (arm != arms[0])
                    label = "positive" if positive else "negative"
                    p = np.clip(score, 0, 1)
                    names = (f"{role}{film}", f"{role}p{patient}", role, label)
                    rows.append((arm, seed, "all", *names, p, 0.25 + p / 2, 0.4))
    columns = ["arm", "seed", "fold", "image_id", "patient_id", "role", "label", "p_positive", "p_calibrated"]
    return pd.DataFrame(rows, columns=[*columns, "threshold_validation"])
