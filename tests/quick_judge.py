"""Films are judged at 32 pixels in tests, not at 224: a fiftieth of the work. As a program it is the command line with
that judge, for tests that compare what other processes make with what they make themselves."""

import os
from dataclasses import replace
from pathlib import Path

from cxrlib.cli import main
from cxrlib.networks import JUDGE, NETWORKS

QUICK_JUDGE = replace(NETWORKS[JUDGE], side=32)
# Of a process that is to find this module, and the library beside it.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(str(folder) for folder in Path(__file__).resolve().parents[:2])
}


def judge_quickly() -> None:
    """For the rest of this process."""
    NETWORKS[JUDGE] = QUICK_JUDGE


if __name__ == "__main__":
    judge_quickly()
    main()
