"""How often the intervals of the pairs of generators hold the truth, for 3 to 6 readers and 30 to 120 pairs.

Readers choose by the model of Bradley and Terry; films of one generator vary, and unlike readers vary in which
generator they like (by 0.4 on the scale of log odds). Generators stand near each other or far apart: 0.7, or 2.

    python benchmarks/pair_coverage.py

Writes benchmarks/results/pair_coverage.json.
"""

import argparse
import itertools
import sys

from reader_coverage import write_coverage

from cxrlib.study import REPOSITORY

# The same studies as in the tests.
sys.path.insert(0, str(REPOSITORY / "tests"))
from simulated_reader_studies import pairs_covered

RESULT = REPOSITORY / "benchmarks" / "results" / "pair_coverage.json"
READERS, PAIRS, GENERATORS = (3, 4, 6), (30, 60, 120), (2, 3)
DIFFER, APART = {"alike": 0.0, "unlike": 0.4}, {"near": 0.7, "far": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    draws, rows = parser.parse_args().draws, []
    for readers, pairs, generators, kind, far in itertools.product(READERS, PAIRS, GENERATORS, DIFFER, APART):
        case = {"readers": readers, "pairs": pairs, "generators": generators, "they_are": kind, "generators_are": far}
        rows.append(case | {"covered": pairs_covered(readers, pairs, generators, DIFFER[kind], APART[far], draws)})
        print(rows[-1], flush=True)
    covered = [row["covered"] for row in rows]
    write_coverage(RESULT, draws, rows, [min(covered), max(covered)])


if __name__ == "__main__":
    main()
