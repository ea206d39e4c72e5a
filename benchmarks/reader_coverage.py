"""How often the intervals of all readers hold the truth, for 3 to 10 readers and 40 to 200 films, alike and unlike.

Readers look at films by the model of signal detection (d′ 0.9, six steps; half of the variance is the film's). Unlike
readers have a d′ that varies by 0.4. Two intervals see the same studies: Obuchowski and Rockette's with Hillis' degrees
of freedom, and the one for small samples, on the scale of log odds, which the book's tables show.

    python benchmarks/reader_coverage.py

Writes benchmarks/results/reader_coverage.json.
"""

import argparse
import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrlib.files import write_json
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY

# The same studies as in the tests.
sys.path.insert(0, str(REPOSITORY / "tests"))
from simulated_reader_studies import INTERVALS, covered

RESULT = REPOSITORY / "benchmarks" / "results" / "reader_coverage.json"
READERS, FILMS, DIFFER = (3, 4, 5, 10), (40, 100, 200), {"alike": 0.0, "unlike": 0.4}
GOAL = (0.93, 0.97)


def write_coverage(path: Path, draws: int, rows: list[dict[str, Any]], from_to: Any) -> None:
    """Write what was covered, case by case and from least to most, with how sure that is and where it was measured."""
    facts = {
        "draws": draws,
        "standard_error": round((0.95 * 0.05 / draws) ** 0.5, 4),
        "goal": GOAL,
        "covered": rows,
        "from_to": from_to,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "provenance": provenance(REPOSITORY),
    }
    write_json(path, facts)
    print(from_to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1500)
    draws, rows = parser.parse_args().draws, []
    for readers, films, kind in itertools.product(READERS, FILMS, DIFFER):
        rows.append(
            {"readers": readers, "films": films, "they_are": kind, **covered(readers, films, DIFFER[kind], draws)}
        )
        print(rows[-1], flush=True)
    from_to = {name: [min(row[name] for row in rows), max(row[name] for row in rows)] for name in INTERVALS}
    write_coverage(RESULT, draws, rows, from_to)


if __name__ == "__main__":
    main()
