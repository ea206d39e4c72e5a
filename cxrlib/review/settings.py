"""Settings of the radiologists' reading."""

from pydantic import PositiveInt

from cxrlib.settings import Settings


class ReviewSettings(Settings):
    """A reading shows this many synthetic and as many real films of each label, in an order drawn per reader."""

    protocol: str = "single-films"
    films_per_label: PositiveInt = 10
