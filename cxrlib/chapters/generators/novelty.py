"""Tables of the synthetic films as films: copies of training films, traces of augmentation, lungs."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

from cxrlib.evaluation.uncertainty import mean_over_films, wilson_interval
from cxrlib.files import read_json
from cxrlib.films.images import load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.generators.leaks import LEAKS, MIRRORED, is_mirrored
from cxrlib.generators.lung_measures import load_anatomy, measure_anatomy
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

ANATOMY = {"area": "lung area, share of the film", "left_right_ratio": "left lung area over right"}
MIDDLE_SHARE = 0.95


def memorisation_table(study: Study) -> pd.DataFrame:
    """How many synthetic films are flagged as too near to a film their generator was trained on: a row per label, fold.

    Columns: films, flagged, flag_rate, flag_low, flag_high; real_films, real_flagged, real_rate, real_low, real_high
    (real films judged in the same way by films of other patients: what to expect where nothing was copied);
    feature_threshold, pixel_threshold, reference_films (which films set them); and the control: planted, caught,
    caught_least (the kind of copy that was caught least), caught_least_rate.
    """
    rows = []
    for label, fold in _sets(study):
        record = read_json(study.results.synthetic_record(label, fold))
        real, planted = record["reference"], record["planted"]
        worst = min(planted, key=lambda kind: planted[kind]["caught"] / planted[kind]["planted"])
        row: dict[str, Any] = {"label": label, "fold": fold, "films": record["images"], "flagged": record["flagged"]}
        row |= _share("flag", record["flagged"], record["images"])
        row |= {"real_films": real["films"], "real_flagged": real["flagged"]}
        row |= _share("real", real["flagged"], real["films"])
        row |= {name: record[name] for name in ("feature_threshold", "pixel_threshold", "reference_films")}
        row |= {"planted": sum(kind["planted"] for kind in planted.values())}
        row |= {"caught": sum(kind["caught"] for kind in planted.values()), "caught_least": worst}
        rows.append(row | {"caught_least_rate": planted[worst]["caught"] / planted[worst]["planted"]})
    return pd.DataFrame(rows)


def leak_table(study: Study) -> pd.DataFrame:
    """Shares of films with a fault that real films hardly have: a row per label, fold and leak (`LEAKS`, "mirrored").

    Columns: synthetic_films, synthetic_rate, synthetic_low, synthetic_high; the same of the hospital's films of the
    label (real_…); excess, excess_low, excess_high: the difference, with Newcombe's interval.
    """
    size, rows = study.gan.resolution, []
    hospital = load_image_set(study, "hospital", size)
    for label in LABELS:
        real = np.asarray(hospital.images[np.flatnonzero(hospital.labels == LABELS.index(label))])
        faults = LEAKS | {MIRRORED: partial(is_mirrored, real=real)}
        in_real = {leak: int(has_leak(real).sum()) for leak, has_leak in faults.items()}
        for fold in study.generated_folds:
            films = load_synthetic(study, label, fold, size).images
            for leak, has_leak in faults.items():
                found = int(has_leak(films).sum())
                row: dict[str, Any] = {"label": label, "fold": fold, "leak": leak, "synthetic_films": len(films)}
                row |= _share("synthetic", found, len(films))
                row |= {"real_films": len(real)} | _share("real", in_real[leak], len(real))
                low, high = confint_proportions_2indep(found, len(films), in_real[leak], len(real), method="newcomb")
                rows.append(row | {"excess": found / len(films) - in_real[leak] / len(real),
                                   "excess_low": float(low), "excess_high": float(high)})  # fmt: skip
    return pd.DataFrame(rows)


def anatomy_table(study: Study) -> pd.DataFrame:
    """Lungs of synthetic films beside the hospital's, by the same networks: a row per label, fold and measure.

    Columns: synthetic_films, synthetic_mean, synthetic_low, synthetic_high, synthetic_sd; the same of the hospital's
    films of the label (real_…, intervals over patients); outside_rate, outside_low, outside_high: the share of
    synthetic films outside the middle 95 % of the real ones; dice, dice_low, dice_high: how well the networks outline
    the lungs of patients whom they have not seen. No rows where the hospital's films have no masks, or too few.
    """
    if not measure_anatomy(study)["measured"]:
        return pd.DataFrame(columns=["label", "fold", "measure"])
    measures = load_anatomy(study)
    real = measures[measures["origin"] == "real"]
    masked = real[real["dice"].notna()]
    agreement = mean_over_films(
        masked["dice"].to_numpy(), masked["patient_id"].to_numpy(), seed=seed_for(study.seed, "anatomy", "dice")
    )
    rows = []
    for label, fold in _sets(study):
        of_label = real[real["label"] == label]
        made = measures[(measures["origin"] == "synthetic") & (measures["label"] == label) & (measures["fold"] == fold)]
        for name, measure in ANATOMY.items():
            row: dict[str, Any] = {"label": label, "fold": fold, "measure": measure}
            row |= _mean("synthetic", made[name], np.arange(len(made)), study.seed)
            row |= _mean("real", of_label[name], of_label["patient_id"].to_numpy(), study.seed)
            low, high = of_label[name].quantile([(1 - MIDDLE_SHARE) / 2, (1 + MIDDLE_SHARE) / 2])
            # A film whose lungs can't be parted in two has no ratio, and is outside.
            row |= _share("outside", int((~made[name].between(low, high)).sum()), len(made))
            row |= {"dice": agreement.estimate, "dice_low": agreement.low, "dice_high": agreement.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _sets(study: Study) -> list[tuple[str, str]]:
    return [(label, fold) for label in LABELS for fold in study.generated_folds]


def _share(name: str, count: int, films: int) -> dict[str, float]:
    found = wilson_interval(count, films)
    return {f"{name}_rate": found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(name: str, values: pd.Series, patients: np.ndarray, seed: int) -> dict[str, float]:
    known = values.notna().to_numpy()
    found = mean_over_films(values[known].to_numpy(), patients[known], seed=seed_for(seed, "anatomy", name))
    return {
        f"{name}_films": int(known.sum()), f"{name}_mean": found.estimate, f"{name}_low": found.low,
        f"{name}_high": found.high, f"{name}_sd": float(values[known].std()),
    }  # fmt: skip
