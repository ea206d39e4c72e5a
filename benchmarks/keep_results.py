"""Keep the results of a finished study for the book's page "What we found on real films".

    python benchmarks/keep_results.py public-small

Copies tables and figures of numbers (no film) into `benchmarks/results/<study>/`, and writes there `films.md` and
`found.md`, which the page includes: the films and the recipe; the answer, the ladder of arms, the tables, and the
hardware, versions, commit and day they come from. A study with films that may not be published is refused.
"""

import argparse
import shutil
from datetime import UTC, datetime

import pandas as pd

from cxrlib.chapters.films import notebook as chapter_films
from cxrlib.chapters.generators import notebook as generators
from cxrlib.chapters.results import notebook as results
from cxrlib.chapters.words import ROLE_WORDS
from cxrlib.files import read_json, write_text
from cxrlib.study import REPOSITORY, Study, load_study

TABLES = (
    "table1", "table2", "table2_seeds", "differences", "verdicts", "at_equal_precision", "tests",
    "shortcut", "quality", "comparisons", "memorisation", "leaks", "attention",
)  # fmt: skip
FIGURES = {
    "ladder": "How well each arm ranks the hospital's films (area under the ROC curve) and answers (balanced "
    "accuracy), ordered by how much of the hospital its training holds; intervals are over patients and training runs.",
    "plane": "Sensitivity and specificity of each arm, with an arrow from the baseline.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    study = load_study(parser.parse_args().study)
    if study.private_roles:
        raise SystemExit(
            f"{study.name}: its {', '.join(study.private_roles)} films may not be published; nothing is kept"
        )
    folder = REPOSITORY / "benchmarks" / "results" / study.name
    aside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for name in TABLES:
        shutil.copy(study.results.table(name), aside)
    for name in FIGURES:
        shutil.copy(study.results.root / "figures" / f"{name}.png", aside)
    shutil.copy(study.results.root / "provenance.json", aside)
    write_text(aside / "films.md", films(study))
    write_text(aside / "found.md", found(study))
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)
    print(f"Kept in {folder.relative_to(REPOSITORY)}; read found.md before committing it.")


def films(study: Study) -> str:
    """The films and the recipe, in Markdown."""
    gan, classifier = study.gan, study.classifier
    recipe = (
        f"The generators draw films of {gan.resolution} × {gan.resolution} pixels and saw {gan.total_images:,} films "
        f"each, after {gan.public_images:,} public ones. The classifier is `{classifier.network}` (weights at the "
        f"start: {classifier.weights}) on {classifier.image_size} × {classifier.image_size} pixels, trained with "
        f"{classifier.seeds} seeds an arm; {study.data.folds} folds; {study.synthesis.images_per_label:,} synthetic "
        "films per label."
    )
    return "\n\n".join([as_markdown(chapter_films.TABLES["films"](study)), recipe]) + "\n"


def found(study: Study) -> str:
    """The part of the page that follows from the numbers, in Markdown."""
    said = read_json(study.results.table("statements").with_suffix(".json"))
    parts = [said["answer_page"], figure("ladder")]
    parts += ["### How the films are ranked", as_markdown(ranking(study)), said["tests"] + "."]
    parts += [
        "### Every verdict",
        said["families"] + ". Those of the primary endpoint come first; p is corrected.",
        as_markdown(verdicts(study)),
    ]
    parts += [figure("plane"), said["price"] + " " + said["equal_precision"]]
    parts += ["### How near the generators' films are to real ones", as_markdown(generators.TABLES["quality"](study))]
    return "\n\n".join([*parts, "### Where this comes from", source(study)]) + "\n"


def ranking(study: Study) -> pd.DataFrame:
    """As in Chapter 5, without what a page is too narrow for."""
    return results.TABLES["ranking"](study)[["area under ROC", "balanced accuracy", "Matthews correlation"]]


def verdicts(study: Study) -> pd.DataFrame:
    """As in Chapter 5, with shorter headings; the family is said once, by the number of rows above."""
    table = results.TABLES["verdicts"](study).reset_index().drop(columns="family").set_index("measure")
    return table.set_axis(["arms", "difference (points, or area)", "p", "verdict"], axis=1)


def figure(name: str) -> str:
    return f"```{{figure}} kept/{name}.png\n:name: found-{name}\n:alt: {FIGURES[name]}\n\n{FIGURES[name]}\n```"


def as_markdown(table: pd.DataFrame) -> str:
    """A table as people read it; its index comes first."""
    flat = table.reset_index().rename(columns={"index": "", **ROLE_WORDS})
    rows = [list(map(str, flat.columns)), ["---"] * len(flat.columns), *flat.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def source(study: Study) -> str:
    made = read_json(study.results.root / "provenance.json")
    packages = ", ".join(f"{name} {made['packages'][name]}" for name in ("torch", "torchvision", "scikit-learn"))
    processor = f"{made['processor_cores']} cores of {made['processor']}, graphics processor: {made['gpu']}"
    day = datetime.fromtimestamp(study.results.table("statements").with_suffix(".json").stat().st_mtime, UTC)
    changed = " with uncommitted changes" if made["uncommitted_changes"] else ""
    return (
        f"Study `{study.name}`, commit `{made['commit'][:7]}`{changed}, {day:%-d %B %Y}; Python "
        f"{made['python']}, {packages}; {processor}. The tables lie in the repository under "
        f"`benchmarks/results/{study.name}`."
    )


if __name__ == "__main__":
    main()
