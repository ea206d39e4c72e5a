"""Which generator gives the better films in equal time: ways to train one, side by side on the same real films.

    cxr report public-small audit
    python benchmarks/generator_kinds.py public-small --label positive --minutes 6 --out FOLDER [--ways NAME …]

Every way trains on the study's hospital films of the label, those held out left aside, for the same minutes of one
processor (its own time, so that other work on the machine takes nothing from it), judging not counted. A way that is
finished lies in FOLDER and is not trained again. All are then judged by films of the same seeds against the held-out
films of other patients: kernel distances with 95 % intervals, and their paired differences from the first way. Three
judges: EfficientNet-Lite0, which no generator learned from (features are matched, and films projected, by Lite1); a
random ResNet-18; with `--chest-judge NETWORK FILE` a network that was trained on chest films. Prints Markdown and
leaves in FOLDER a sheet of each way's films, enlarged, to be looked at.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastgan import RebuildingStepper, fastgan_networks
from PIL import Image
from projected import ProjectedStepper, projected_networks
from torch import Tensor

from cxrlib.features import extract_features
from cxrlib.files import atomic_path, read_json, write_json
from cxrlib.generators.kernel_distance import kernel_distance
from cxrlib.generators.quality import left_from_right, side_distance
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.snapshots import films_of_seed, spread
from cxrlib.generators.stepping import Networks, Stepper, new_networks
from cxrlib.generators.training import generator_films
from cxrlib.study import Study, load_study

FILMS, SHEET_SIDE = 400, 192
UNMATCHED: dict[str, Any] = {"gan": {"feature_matching_weight": 0.0}}
PROJECTED: dict[str, Any] = {**UNMATCHED, "networks": projected_networks, "stepper": ProjectedStepper}
# What differs from the study's own way; `public` is the share of the minutes spent on the public films first.
WAYS: dict[str, dict[str, Any]] = {
    "style": {},
    "style, no detail bands": {**UNMATCHED, "bands": False},
    "style, public half": {"public": 0.5},
    "style, no features matched, public half": {**UNMATCHED, "public": 0.5},
    "projected": PROJECTED,
    "projected, public half": {**PROJECTED, "public": 0.5},
    "skip-layer excitation": {**UNMATCHED, "networks": partial(fastgan_networks, excited=True, rebuilding=False)},
    "rebuilding discriminator": {
        **UNMATCHED, "networks": partial(fastgan_networks, excited=False, rebuilding=True),
        "stepper": RebuildingStepper,
    },
}  # fmt: skip


def train(study: Study, label: str, way: dict[str, Any], minutes: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Films of one way, uint8 (FILMS, R, R), and what it took."""
    share, asked = way.get("public", 0.0), study.gan.model_copy(update=way.get("gan", {}))
    networks, seed, spent, images = None, (study.seed, "kinds", label), 0.0, 0
    for fold, until in (("public", share * 60 * minutes), ("all", 60 * minutes)):
        if until == 0:
            continue
        films = torch.from_numpy(generator_films(study, label, fold).training.images.copy())
        # As in a study: from random weights no features are matched.
        settings = asked if networks is not None else asked.model_copy(update=UNMATCHED["gan"])
        fresh = way.get("networks", usual_networks)(films, settings, (*seed, fold))
        if networks is not None:
            for name in ("generator", "discriminator"):
                getattr(fresh, name).load_state_dict(getattr(networks, name).state_dict())
            fresh.generator.eigenfilms.fit(films)
            fresh.average.load_state_dict(fresh.generator.state_dict())
        networks = fresh
        if not way.get("bands", True):
            networks.discriminator.bands.gains.zero_()
            networks.discriminator.bands.magnification.fill_(1.0)
        stepper, step = way.get("stepper", Stepper)(networks, films, settings, (*seed, fold)), 0
        while spent < until:
            began = time.process_time()
            stepper.step(step, 0)
            spent += time.process_time() - began
            step += 1
        images += step * settings.batch_size
        losses = stepper.means()
    facts = {"images": images, "seconds": round(spent, 1), "losses": {name: round(v, 3) for name, v in losses.items()}}
    return films_of_seed(networks.average.eval(), seed, FILMS), facts


def usual_networks(films: Tensor, settings: GanSettings, seed: tuple[Any, ...]) -> Networks:
    return Networks(**new_networks(films, settings, seed))


def judged(study: Study, label: str, sets: dict[str, np.ndarray], chest: list[str] | None) -> list[str]:
    """The table, a row for each set of films."""
    held_out = generator_films(study, label, "all").held_out
    patients = held_out.manifest["patient_id"].to_numpy(str)
    judges = {"Lite0": ("efficientnet_lite0", "imagenet"), "random ResNet-18": ("resnet18", "none")}
    if chest:
        judges["chest films"] = tuple(chest)
    header = [f"{part} {judge}" for judge in judges for part in ("KID × 1000,", "less than the first,")]
    lines = ["| films | " + " | ".join(header) + " | left against right |", "| --- |" + " ---: |" * (len(header) + 1)]
    cells: dict[str, list[str]] = {name: [] for name in sets}
    for network, weights in judges.values():
        real = extract_features(held_out.images, network=network, weights=weights)
        found = {
            name: kernel_distance(extract_features(films, network=network, weights=weights), real, None, patients)
            for name, films in sets.items()
        }
        first = next(iter(found.values()))
        for name, distance in found.items():
            paired = distance is not first and not name.startswith("real")
            cells[name] += [told(distance), told(first - distance) if paired else ""]
    for name, films in sets.items():
        sides = side_distance(left_from_right(held_out.images), left_from_right(films))
        lines.append(f"| {name} | " + " | ".join([*cells[name], f"{sides:.2f}"]) + " |")
    return lines


def told(distance: Any) -> str:
    low, high = distance.bounds()
    return f"{1000 * distance.estimate:.1f} ({1000 * low:.1f} to {1000 * high:.1f})"


def write_enlarged(path: Path, films: np.ndarray) -> None:
    """The first 64 films, 8 in a row, each of 192 pixels."""
    large = [np.asarray(Image.fromarray(film).resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.BICUBIC))
             for film in films[:64]]  # fmt: skip
    sheet = np.stack(large).reshape(8, 8, SHEET_SIDE, SHEET_SIDE).swapaxes(1, 2).reshape(8 * SHEET_SIDE, -1)
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("study")
    options.add_argument("--label", default="positive")
    options.add_argument("--minutes", type=float, default=6.0, help="of one processor, for each way")
    options.add_argument("--films", type=int, default=FILMS, help="of each way, by which it is judged; at most 400")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    options.add_argument("--chest-judge", nargs=2, metavar=("NETWORK", "FILE"))
    asked = options.parse_args()
    torch.set_num_threads(1)
    study = load_study(asked.study)
    sets, lines = {}, ["| way | images | processor s | s per 1,000 images |", "| --- | ---: | ---: | ---: |"]
    for way in asked.ways:
        place = asked.out / f"{asked.label}-{way.replace(', ', '-').replace(' ', '-')}"
        if not place.with_suffix(".json").exists():
            films, facts = train(study, asked.label, WAYS[way], asked.minutes)
            with atomic_path(place.with_suffix(".npy")) as temporary, open(temporary, "wb") as file:
                np.save(file, films)
            write_enlarged(place.with_suffix(".png"), films)
            write_json(place.with_suffix(".json"), facts)
        sets[way], facts = np.load(place.with_suffix(".npy"))[: asked.films], read_json(place.with_suffix(".json"))
        speed = 1000 * facts["seconds"] / facts["images"]
        lines.append(f"| {way} | {facts['images']:,} | {facts['seconds']:.0f} | {speed:.1f} |")
    known = generator_films(study, asked.label, "all").training.images
    public = generator_films(study, asked.label, "public").training.images
    sets |= {"real: trained on": spread(known, asked.films), "real: public": spread(public, asked.films)}
    print("\n".join([*lines, "", *judged(study, asked.label, sets, asked.chest_judge)]))


if __name__ == "__main__":
    main()
