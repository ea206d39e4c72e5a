"""Films of the generators that a study compares, as readers judge them: which of two looks more like a patient's?"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrlib.errors import InputError

if TYPE_CHECKING:
    from cxrlib.study import Study

# In the place of a fold in the list of films.
COMPARED = "compared:"
STANDARD = "standard"


def generators_compared(study: "Study") -> tuple[str, ...]:
    """The standard generator and its variants; raises `InputError` where the study compares none."""
    if not study.gan.comparisons:
        raise InputError(
            f"review.generator_pairs: found {study.review.generator_pairs}, but gan.comparisons is empty; name what is "
            "to be compared there, or leave generator_pairs out"
        )
    return tuple(f"{COMPARED}{name}" for name in (STANDARD, *study.gan.comparisons))


def compared_path(study: "Study", name: str) -> Path:
    """Where the films of a generator lie, of `generators_compared`."""
    variant = name.removeprefix(COMPARED)
    return study.results.compared_films(study.gan.comparison_label, "" if variant == STANDARD else variant)


def compared_films(study: "Study", name: str) -> np.ndarray:
    """uint8 (N, S, S), on the disk."""
    return np.load(compared_path(study, name), mmap_mode="r")
