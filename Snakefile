# The stages as a graph. Started by `cxr report STUDY`, which adds locks, progress and the closing lines.
# Every rule calls one `cxr` command; every command is idempotent and resumes by itself.

import shlex
import sys

from cxrlib.artifacts import CHAPTERS
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.study import REPOSITORY, load_study

study = load_study(config["study"])
results = study.results
where = str(results.root)
stage = f"{shlex.quote(sys.executable)} -m cxrlib.cli"
given = shlex.quote(config["study"])

shell.prefix(f"export OMP_NUM_THREADS={study.threads_per_job} MKL_NUM_THREADS={study.threads_per_job}; ")


wildcard_constraints:
    role="|".join(ROLES),
    label="|".join(LABELS),
    fold=r"all|public|fold\d+",
    variant="|".join(study.gan.comparisons) or "none",
    arm="|".join(study.classifier_arms),
    seed=r"\d+",
    chapter="|".join(CHAPTERS),


audited = [str(results.audit_record)]


def generator_inputs(wildcards):
    """A generator needs its films and, where training starts from the public films, the generator trained on those."""
    if wildcards.fold == "public":
        return audited
    start = [str(results.generator_record(wildcards.label, "public"))] if study.gan.initialise_from == "public" else []
    return audited + start


def synthetic_sets(fold):
    return [str(results.synthetic_record(label, fold)) for label in LABELS]


# What readers decide comes before classifiers, where the study file says so.
rejected = [str(results.rejected_record(study.review.protocol))] if study.synthesis.exclude_rejected else []
simulated = (
    [str(results.simulated_record(study.review.protocol, study.review.simulated_readers))]
    if study.review.simulated_readers
    else []
)
# Answers that came in since the last report make Chapter 3 anew.
answers_of_people = sorted(
    str(path)
    for path in results.reading(study.review.protocol).event_files()
    if not path.name.startswith("simulated")
)


def classifier_inputs(wildcards):
    """All arms are trained and judged on audited films; some learn from synthetic ones, or count them."""
    synthetic = synthetic_sets(wildcards.fold) + rejected if study.synthetic_folds(wildcards.arm) else []
    before = [str(results.classifier_record(*model)) for model in study.models_before(wildcards.arm, int(wildcards.seed))]
    return audited + synthetic + before


def finished_classifiers(arms):
    return [
        str(results.classifier_record(arm, seed, fold))
        for arm in arms
        for seed in study.classifier_seeds(arm)
        for fold in study.classifier_folds(arm)
    ]


all_generators = [
    str(results.generator_record(label, fold)) for fold in study.generator_folds for label in LABELS
]
all_synthetic = [
    record for fold in study.generator_folds if fold != "public" for record in synthetic_sets(fold)
]
all_variants = [str(results.generator_record(*names)) for names in study.generator_variants]
all_comparisons = [str(results.comparisons_record)] if study.gan.comparisons else []


def code(*patterns):
    """Source files whose change makes tables, chapters or pages obsolete; trained networks stay."""
    found = {path for pattern in patterns for path in REPOSITORY.glob(pattern)}
    return sorted(str(path) for path in found if path.is_file() and "__pycache__" not in path.parts)


chapter_needs = {
    "01_data": [str(results.films_record)],
    "02_gan_training": [*all_generators, *all_synthetic, str(results.quality_record), *all_comparisons],
    "03_synthesis_review": [*all_synthetic, str(results.quality_record), *simulated, *answers_of_people],
    "04_classifier_training": finished_classifiers(study.classifier_arms),
    "05_results": [str(results.tables_record), str(results.explanations_record)],
}


rule book:
    input:
        [str(results.chapter(chapter)) for chapter in CHAPTERS],
        code("book/**/*", "_config.yml", "cxrlib/publishing/book.py", "cxrlib/publishing/guard*.py", "cxrlib/publishing/provenance.py"),
        str(results.study_file),
    output:
        str(study.build_folder / "html" / "index.html"),
    log:
        f"{where}/logs/book.log",
    shell:
        "{stage} build-book {given} > {log:q} 2>&1"


rule data:
    output:
        f"{where}/data/{{role}}/audit.json",
    log:
        f"{where}/logs/data-{{role}}.log",
    shell:
        "{stage} prepare {given} --role {wildcards.role} > {log:q} 2>&1"


rule audit:
    input:
        [str(results.data_record(role)) for role in ROLES],
    output:
        str(results.audit_record),
        str(results.duplicates),
    log:
        f"{where}/logs/audit.log",
    shell:
        "{stage} audit {given} > {log:q} 2>&1"


rule film_tables:
    input:
        audited,
        code("cxrlib/evaluation/*.py", "cxrlib/chapters/*/*.py", "cxrlib/films/shortcuts.py", "cxrlib/films/appearance.py"),
    output:
        str(results.films_record),
    log:
        f"{where}/logs/film-tables.log",
    threads: study.threads_per_job
    shell:
        "{stage} film-tables {given} > {log:q} 2>&1"


rule generator:
    input:
        generator_inputs,
    output:
        f"{where}/gan/{{label}}/{{fold}}/config.json",
    log:
        f"{where}/logs/gan-{{label}}-{{fold}}.log",
    priority: 10
    threads: study.threads_per_job
    shell:
        "{stage} train-gan {given} --label {wildcards.label} --fold {wildcards.fold} > {log:q} 2>&1"


rule variant:
    input:
        lambda wildcards: generator_inputs(wildcards) if wildcards.variant != "random-start" else audited,
    output:
        f"{where}/gan/{{label}}/{{fold}}-{{variant}}/config.json",
    log:
        f"{where}/logs/gan-{{label}}-{{fold}}-{{variant}}.log",
    threads: study.threads_per_job
    shell:
        "{stage} train-gan {given} --label {wildcards.label} --fold {wildcards.fold} --variant {wildcards.variant} "
        "> {log:q} 2>&1"


rule synthetic:
    input:
        f"{where}/gan/{{label}}/{{fold}}/config.json",
        audited,
    output:
        f"{where}/synthetic/{{label}}/{{fold}}/audit.json",
    log:
        f"{where}/logs/synthetic-{{label}}-{{fold}}.log",
    priority: 20
    threads: study.threads_per_job
    shell:
        "{stage} synthesise {given} --label {wildcards.label} --fold {wildcards.fold} > {log:q} 2>&1"


if simulated:

    rule simulated_readings:
        input:
            audited,
            all_synthetic,
        output:
            simulated,
        log:
            f"{where}/logs/simulated-readings.log",
        shell:
            "{stage} simulate-readings {given} > {log:q} 2>&1"


if rejected:

    rule rejected_films:
        input:
            audited,
            all_synthetic,
        output:
            rejected,
        log:
            f"{where}/logs/rejected-films.log",
        shell:
            "{stage} reject-films {given} > {log:q} 2>&1"


rule classifier:
    input:
        classifier_inputs,
    output:
        f"{where}/classifier/{{arm}}/seed{{seed}}/{{fold}}/config.json",
        f"{where}/classifier/{{arm}}/seed{{seed}}/{{fold}}/predictions.csv",
    log:
        f"{where}/logs/classifier-{{arm}}-seed{{seed}}-{{fold}}.log",
    threads: study.threads_per_job
    shell:
        "{stage} train-classifier {given} --arm {wildcards.arm} --seed {wildcards.seed} --fold {wildcards.fold} "
        "> {log:q} 2>&1"


rule quality:
    input:
        audited,
        all_synthetic,
    output:
        str(results.quality_record),
    log:
        f"{where}/logs/quality.log",
    threads: study.threads_per_job
    shell:
        "{stage} measure-quality {given} > {log:q} 2>&1"


rule comparisons:
    input:
        str(results.generator_record(study.gan.comparison_label, "all")),
        all_variants,
        audited,
    output:
        str(results.comparisons_record),
    log:
        f"{where}/logs/comparisons.log",
    threads: study.threads_per_job
    shell:
        "{stage} compare-generators {given} > {log:q} 2>&1"


rule tables:
    input:
        finished_classifiers(study.classifier_arms),
        audited,
        all_synthetic,
        str(results.quality_record),
        code("cxrlib/evaluation/*.py", "cxrlib/chapters/*/*.py"),
    output:
        str(results.tables_record),
    log:
        f"{where}/logs/tables.log",
    shell:
        "{stage} tables {given} > {log:q} 2>&1"


rule explanations:
    input:
        finished_classifiers(study.classifier.arms),
        audited,
        synthetic_sets("all"),
        code("cxrlib/classifiers/explanation.py", "cxrlib/chapters/results/explanations.py"),
    output:
        str(results.explanations_record),
    log:
        f"{where}/logs/explanations.log",
    threads: study.threads_per_job
    shell:
        "{stage} explain {given} > {log:q} 2>&1"


rule chapter:
    input:
        str(REPOSITORY / "notebooks" / "{chapter}.ipynb"),
        lambda wildcards: chapter_needs[wildcards.chapter],
        code("cxrlib/*.py", "cxrlib/*/*.py"),
        str(results.study_file),
    output:
        f"{where}/chapters/{{chapter}}.ipynb",
    log:
        f"{where}/logs/chapter-{{chapter}}.log",
    shell:
        "{stage} chapter {given} {wildcards.chapter} > {log:q} 2>&1"
