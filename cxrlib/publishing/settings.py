"""What a study file says of its authors and films beyond what a program can know: the book's page About this study."""

from typing import Literal

from pydantic import Field

from cxrlib.settings import Settings


class Author(Settings):
    """One author; `orcid` is the number alone."""

    name: str = Field(min_length=1)
    affiliation: str = ""
    orcid: str = Field(default="", pattern=r"^(\d{4}-\d{4}-\d{4}-\d{3}[\dX])?$")


class FilmsSheet(Settings):
    """What only people know of the films of a role, in words for the data sheet: where and how the patients were found,
    when, who was taken in and left out, by which devices, by whom and how labelled, how identities were removed."""

    setting: str = ""
    dates: str = ""
    eligibility: str = ""
    acquisition: str = ""
    labels: str = ""
    deidentification: str = ""


class AboutSettings(Settings):
    """All of it may stay empty; the book then says that it is to be written by the authors. `doi` is without its
    resolver, e.g. 10.5281/zenodo.1234. `films` holds a sheet per role."""

    authors: tuple[Author, ...] = ()
    contact: str = ""
    year: int | None = Field(default=None, ge=2000, le=2100)
    doi: str = Field(default="", pattern=r"^(10\.\d{4,9}/\S+)?$")
    licence: str = ""
    intended_use: str = ""
    design: str = ""
    ethics: str = ""
    registration: str = ""
    protocol: str = ""
    availability: str = ""
    funding: str = ""
    interests: str = ""
    films: dict[Literal["training", "validation", "hospital", "external"], FilmsSheet] = Field(default_factory=dict)
