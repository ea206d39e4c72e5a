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


class LaunchSettings(Settings):
    """Where readers may run the chapters: a link per place above each, and none by default. `repository` has the
    notebooks, on GitHub (owner/name); `jupyterhub` is the address of a hub whose users may pull it."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    branch: str = "main"
    jupyterhub: str = Field(default="", pattern=r"^(https://[^\s\"<>?#]+)?$")
    binder: bool = False
    colab: bool = False


class CommentSettings(Settings):
    """A place for comments below each page, by giscus: it loads a program of giscus.app into every reader's browser."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    repository_id: str = Field(min_length=1)
    category: str = Field(min_length=1)
    category_id: str = Field(min_length=1)


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
    launch: LaunchSettings | None = None
    comments: CommentSettings | None = None
    films: dict[Literal["training", "validation", "hospital", "external"], FilmsSheet] = Field(default_factory=dict)
