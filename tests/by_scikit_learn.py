"""The study's metrics, each by scikit-learn's own function."""

import numpy as np
from sklearn import metrics as reference

from cxrlib.evaluation.calibration import logit, weighted_slopes


def calibration_slope(labels, p_positive):
    """Of one set of films, which scikit-learn has not."""
    return float(weighted_slopes(labels, logit(p_positive), np.ones((1, len(labels))))[0])


def threshold_metrics(labels, predicted):
    """The precision at a prevalence of 10 % by weighted films."""
    values = {"accuracy": reference.accuracy_score(labels, predicted)}
    for name, function in (
        ("f1", reference.f1_score), ("precision", reference.precision_score), ("recall", reference.recall_score),
    ):  # fmt: skip
        for label, side in (("positive", 1), ("negative", 0)):
            values[f"{name}_{label}"] = function(labels, predicted, pos_label=side, zero_division=0)
    values["balanced_accuracy"] = reference.balanced_accuracy_score(labels, predicted)
    values["mcc"] = reference.matthews_corrcoef(labels, predicted)
    weights = np.where(labels == 1, 0.1 / labels.sum(), 0.9 / (1 - labels).sum())
    values["precision_at_tenth"] = reference.precision_score(labels, predicted, sample_weight=weights, zero_division=0)
    return values


def probability_metrics(labels, p_positive, p_calibrated):
    """But for the slope, which scikit-learn has not."""
    return {
        "roc_auc": reference.roc_auc_score(labels, p_positive),
        "average_precision": reference.average_precision_score(labels, p_positive),
        "brier": reference.brier_score_loss(labels, p_positive),
        "brier_calibrated": reference.brier_score_loss(labels, p_calibrated),
        "calibration_slope": calibration_slope(labels, p_positive),
        "calibration_in_the_large": np.mean(p_positive) - np.mean(labels),
    }
