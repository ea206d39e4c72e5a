"""Settings of the radiologists' reading."""

from pydantic import Field, NonNegativeInt, PositiveInt

from cxrlib.settings import Settings


class ReviewSettings(Settings):
    """How many films and pairs a reading shows. `protocol` names it: another name begins a new reading.

    Where the study has fewer films than asked for, the reading takes what is there; `protocol.yaml` holds both numbers.
    """

    protocol: str = Field(default="first-reading", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    # Block A: single films. So many synthetic and so many real ones of each label.
    films_per_label_and_origin: PositiveInt = 25
    # Percentage of block A's films that are shown a second time, for agreement of readers with themselves.
    repeat_percent: int = Field(default=10, ge=0, le=50)
    # Films with feedback before the reading begins; they are not analysed, and not shown again.
    practice_films: NonNegativeInt = 4
    # Block B: which of two films is synthetic?
    pairs_per_label: NonNegativeInt = 10
    # Block C: a synthetic film beside its nearest real one; half as many control pairs of each kind come on top.
    copy_pairs: NonNegativeInt = 10
    # Block D: so many pairs of films of each two generators that the study compares: which looks more real?
    generator_pairs: int = Field(default=0, ge=0, le=100)
    # A reader counts in the rows of all readers once this percentage of a block has an answer.
    finished_percent: int = Field(default=90, ge=1, le=100)
    # An answer that took less was given without looking; a reader of many such answers is left out of those rows.
    shortest_seconds: float = Field(default=1.0, ge=0, le=60)
    # Whether a film is shown with the window that the one before had at last, as some readers like it.
    keep_window: bool = False
    # For the table of sample sizes.
    planned_readers: PositiveInt = 3
    # Readers whose answers a program makes up, for demonstration; every table and caption says so.
    simulated_readers: int = Field(default=0, ge=0, le=10)
