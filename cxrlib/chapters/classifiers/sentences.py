"""Sentences and numbers of Chapter 4 that follow from the classifiers' records."""

from collections.abc import Mapping
from typing import Any

from cxrlib.chapters.words import counted
from cxrlib.study import Study


def training_facts(study: Study, records: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> dict[str, Any]:
    """What Chapter 4 says of its classifiers, from their records by (arm, seed, fold)."""
    networks = {key: record for key, record in records.items() if record["steps"] > 0}
    openings = [record["hospital_openings"] for record in networks.values()]
    temperatures = [record["temperature"] for record in networks.values()]
    thresholds = [record["threshold_validation"] for record in networks.values()]
    once = "exactly once for each of them" if set(openings) == {1} else f"{sum(openings):,} times in all"
    return {
        "classifiers": len(networks),
        "arms": len(study.classifier_arms),
        "runs": counted(study.classifier.seeds, "training run"),
        "network": study.classifier.network,
        "weights": next(iter(networks.values()))["weights"],
        "minutes": f"{sum(record['seconds'] for record in records.values()) / 60:,.1f}",
        "openings": once,
        "thresholds": f"{min(thresholds):.2f} to {max(thresholds):.2f}",
        "temperatures": f"{min(temperatures):.2f} to {max(temperatures):.2f}",
        "steps": _steps(study, records),
    }


def _steps(study: Study, records: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> str:
    base = records["baseline", 0, study.classifier_folds("baseline")[0]]["steps"]
    most = max(record["steps"] for record in records.values())
    if most == base:
        return "No arm took more steps than the baseline"
    return (
        "Every arm ran through the same number of epochs, so that an arm with more films also took more steps, up to "
        f"{most / base:.2f} times those of the baseline"
    )
