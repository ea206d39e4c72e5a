"""Where every result lies: the only place that knows the names of the files under `results/<study>/`."""

from dataclasses import dataclass
from pathlib import Path

OPENINGS = "openings.csv"
# Set where nobody watches a notebook, so that nothing in it waits for a hand.
HEADLESS = "CXR_HEADLESS"
# The chapters in their order, and the stages that each reads.
CHAPTERS = {
    "01_data": ("film_tables",),
    "02_gan_training": ("generator", "synthetic", "quality", "comparisons"),
    "03_synthesis_review": ("synthetic", "quality", "comparisons", "simulated_readings"),
    "04_classifier_training": ("classifier",),
    "05_results": ("film_tables", "quality", "simulated_readings", "tables", "explanations"),
}


def kept_copy(path: Path) -> Path:
    """Where the second copy of a file lies that can't be made again."""
    return path.with_name(f".{path.name}.kept")


@dataclass(frozen=True)
class Results:
    """The tree `results/<study>/`."""

    root: Path

    @property
    def study_file(self) -> Path:
        return self.root / "study.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def endpoint(self) -> Path:
        """The primary endpoint, frozen before a hospital film was opened."""
        return self.root / "endpoint.json"

    def data(self, role: str) -> Path:
        return self.root / "data" / role

    def manifest(self, role: str) -> Path:
        return self.data(role) / "manifest.csv"

    def images(self, role: str, size: int) -> Path:
        """uint8 array (images, size, size), row i belonging to row i of the manifest."""
        return self.data(role) / f"images-{size}.npy"

    def data_record(self, role: str) -> Path:
        return self.data(role) / "audit.json"

    @property
    def audit_record(self) -> Path:
        """What the audit of all roles found, and which films are left out (private: holds ids)."""
        return self.root / "data" / "audit.json"

    @property
    def duplicates(self) -> Path:
        """Copies found by the audit, side by side (private: holds ids and file names)."""
        return self.root / "data" / "duplicates.csv"

    @property
    def shared_patients(self) -> Path:
        """Patients with films in more than one role, written when the audit refuses them (private: holds ids)."""
        return self.root / "data" / "shared_patients.csv"

    def generator(self, label: str, fold: str, variant: str = "") -> Path:
        """Folder with generator.safetensors, config.json (the record), log.csv, snapshots.csv, samples.png, one
        samples-<images>.png per snapshot, tensorboard/ and checkpoint/.

        A variant is trained for a comparison, one thing changed, and lies beside the generator it is compared with.
        """
        return self.root / "gan" / label / (f"{fold}-{variant}" if variant else fold)

    def generator_record(self, label: str, fold: str, variant: str = "") -> Path:
        return self.generator(label, fold, variant) / "config.json"

    def compared_films(self, label: str, variant: str = "") -> Path:
        """Films that a generator of a comparison drew, of the same seeds as the others' there."""
        return self.generator(label, "all", variant) / "compared.npy"

    def synthetic(self, label: str, fold: str) -> Path:
        """Folder with images.npy, manifest.csv and audit.json (the record)."""
        return self.root / "synthetic" / label / fold

    def synthetic_record(self, label: str, fold: str) -> Path:
        return self.synthetic(label, fold) / "audit.json"

    def real_distances(self, label: str, fold: str) -> Path:
        """How near real films come to the training films of other patients (private: a row is a patient's film)."""
        return self.synthetic(label, fold) / "real_distances.csv"

    @property
    def lungs(self) -> Path:
        """Folder with segmenter0.safetensors, segmenter1.safetensors and measures.csv (private: holds patients)."""
        return self.root / "lungs"

    @property
    def lungs_record(self) -> Path:
        return self.lungs / "lungs.json"

    def classifier(self, arm: str, seed: int, fold: str) -> Path:
        """Folder with model.safetensors, log.csv, predictions.csv, openings.csv, checkpoint/, config.json (the record).

        The arm `source-rule` has sources.csv in place of model.safetensors, and neither log nor openings.
        """
        return self.root / "classifier" / arm / f"seed{seed}" / fold

    def classifier_record(self, arm: str, seed: int, fold: str) -> Path:
        return self.classifier(arm, seed, fold) / "config.json"

    def predictions(self, arm: str, seed: int, fold: str) -> Path:
        return self.classifier(arm, seed, fold) / "predictions.csv"

    def openings(self, arm: str, seed: int, fold: str) -> Path:
        """Every opening of the hospital's films by a model of this arm, seed and fold; `--force` never removes it."""
        return self.classifier(arm, seed, fold) / OPENINGS

    def review(self, protocol: str) -> Path:
        """Folder of a reading (private: it holds the truth about its films, and the answers)."""
        return self.root / "review" / protocol

    def reading(self, protocol: str) -> "Reading":
        return Reading(self.review(protocol))

    def simulated_record(self, protocol: str, readers: int) -> Path:
        """That so many simulated readers have answered everything."""
        return self.review(protocol) / f"simulated-{readers}.json"

    def rejected(self, protocol: str) -> Path:
        """Synthetic films that readers found not usable: label, fold, image_id, readers, against."""
        return self.review(protocol) / "rejected.csv"

    def rejected_record(self, protocol: str) -> Path:
        """Whose answers decided which films are rejected, once and for all."""
        return self.review(protocol) / "rejected.json"

    def table(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.csv"

    @property
    def tables_record(self) -> Path:
        return self.root / "tables" / "tables.json"

    @property
    def quality_record(self) -> Path:
        return self.root / "tables" / "quality.json"

    @property
    def comparisons_record(self) -> Path:
        return self.root / "tables" / "comparisons.json"

    @property
    def films_record(self) -> Path:
        """What was measured on the films, for Chapter 1."""
        return self.root / "tables" / "films.json"

    @property
    def film_map(self) -> Path:
        """Films as points of a plane (private: a row is a patient's film)."""
        return self.root / "data" / "film_map.csv"

    @property
    def border_weights(self) -> Path:
        """What the border rule learned from the training films, cell by cell."""
        return self.root / "data" / "border_weights.json"

    @property
    def explanations_record(self) -> Path:
        """Beside films.csv, films.npy and maps.npy: the films that figures show with what a classifier looked at."""
        return self.root / "explanations" / "explanations.json"

    def figure(self, name: str) -> Path:
        return self.root / "figures" / f"{name}.png"

    def chapter(self, name: str) -> Path:
        return self.root / "chapters" / f"{name}.ipynb"

    def chapter_record(self, name: str) -> Path:
        return self.root / "chapters" / f"{name}.json"

    @property
    def chapter_logs(self) -> Path:
        """Folder of failed notebooks and of what chapters wrote to stderr: private, these may name anything."""
        return self.root / "logs" / "chapters"

    @property
    def releases(self) -> Path:
        """Folder of the records of what was published, one for each time: who signed, and a hash of every file."""
        return self.root / "releases"

    @property
    def unique(self) -> list[Path]:
        """What can't be made again and is kept twice, as far as it or its copy is there."""
        patterns = ("endpoint.json", f"classifier/*/*/*/{OPENINGS}", "review/*/protocol.yaml", "review/*/worklist.csv")
        found = [Path(pattern) for pattern in (*patterns, "review/*/tasks.csv")]
        copies = [path for pattern in found for path in self.root.glob(str(kept_copy(pattern)))]
        return sorted(
            {path.with_name(path.name.removeprefix(".").removesuffix(".kept")) for path in copies}
            | {path for pattern in found for path in self.root.glob(str(pattern))}
        )

    @property
    def published(self) -> tuple[Path, ...]:
        """The folders that may hold nothing of a private role."""
        return tuple(self.root / name for name in ("chapters", "figures", "tables"))


@dataclass(frozen=True)
class Reading:
    """The files of one reading. They hold the truth about its films, and what readers answered: private."""

    root: Path

    @property
    def protocol(self) -> Path:
        """What was frozen before the first answer; its hash is in every event."""
        return self.root / "protocol.yaml"

    @property
    def worklist(self) -> Path:
        """One row per film shown, with its truth."""
        return self.root / "worklist.csv"

    @property
    def task_list(self) -> Path:
        """One row per task: its block, its films and, where there is one, the right answer."""
        return self.root / "tasks.csv"

    @property
    def frozen(self) -> tuple[Path, ...]:
        """What answers rest on, and nobody can make again."""
        return self.protocol, self.worklist, self.task_list

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def door(self) -> Path:
        """Port and token of the reading's page, which stay the same until they are renewed."""
        return self.root / "door.json"

    def event_file(self, reader: str, session: str) -> Path:
        """The answers of one sitting, one event a line. `reader` is a name fit for files, without a hyphen."""
        return self.events / f"{reader}-{session}.jsonl"

    def event_files(self, reader: str = "*") -> list[Path]:
        """The files of all sittings of a reader, or of everybody."""
        return sorted(self.events.glob(f"{reader}-*.jsonl"))

    def event_lock(self, reader: str) -> Path:
        """Held by whoever of a reader's sittings is writing."""
        return self.events / f"{reader}.lock"
