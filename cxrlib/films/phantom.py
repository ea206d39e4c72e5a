"""Simulated films: the Beer-Lambert law along rays through a body of ellipsoids.

A ray that crosses media of attenuation mu_i (1/cm) over lengths l_i (cm) arrives with

    I = I0 exp(-sum_i mu_i l_i).

Every l_i has a closed form (`geometry`). Soft tissue fills the union of trunk, neck, shoulders, arms and breasts; lungs
take its place inside the rib cage, except where heart, mediastinum or diaphragm displace them; bone, air, vessels and
opacities then count by the difference of their attenuation from what they replace:

    -ln(I / I0) = mu_soft |body| - (mu_soft - mu_lung) |lungs| + (mu_bone - mu_soft) |bone| - mu_soft |air|
                  + (mu_soft - mu_lung) sum_k fill_k |vessel or opacity k, inside the lungs|.

The beam is parallel; what divergence does to the heart's shadow is part of the scanner's description.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrlib.films.geometry import (
    Ellipsoid,
    Interval,
    crossing,
    length,
    overlap,
    rotation_matrix,
    slab_crossing,
    uncovered_length,
)
from cxrlib.films.phantom_anatomy import Opacity, Patient, phantom_patient
from cxrlib.films.scanner import SCANNERS, Scanner, expose, marker_attenuation, of_elements, rays
from cxrlib.films.settings import PhantomSource
from cxrlib.reproducibility import seed_for

# Part of every prepared film's settings: raise it when the films of a seed change, so that older ones are not reused.
PHANTOM_VERSION = 2
SUPERSAMPLING = 2
MASK_LENGTH_CM = 0.2
SECOND_FILM_SHARE = 0.2


@dataclass(frozen=True)
class Film:
    """A rendered film: image uint8 (size, size); lungs and opacities, uint8 0/1 of the same shape."""

    image: np.ndarray
    lungs: np.ndarray
    opacities: np.ndarray


@dataclass(frozen=True)
class Pose:
    """How the patient stands: p -> rotation p + shift, cm."""

    rotation: np.ndarray
    shift: np.ndarray


def phantom_manifest(source: PhantomSource, role: str, seed: int) -> pd.DataFrame:
    """One row per film, columns as in a manifest; labels in random order, a fifth of hospital patients filmed twice.

    There are no files: `file` is empty, and the film of a row comes from `phantom_film`.
    """
    by_label = ["negative"] * source.negative_patients + ["positive"] * source.positive_patients
    labels = np.random.default_rng(seed_for(seed, "phantom", role, "labels")).permutation(by_label)
    scanner = SCANNERS[source.scanner]
    rows = []
    for number, label in enumerate(labels):
        patient_id = f"{role}-p{number:04d}"
        random = np.random.default_rng(seed_for(seed, "phantom", patient_id, "films"))
        patient = phantom_patient(str(label), seed, "phantom", patient_id)
        second = source.scanner == "hospital" and random.random() < SECOND_FILM_SHARE
        bedside = random.random() < scanner.bedside_share
        for film in range(2 if second else 1):
            rows.append(
                {
                    "image_id": f"{patient_id}-film{film + 1}",
                    "file": "",
                    "patient_id": patient_id,
                    "label": str(label),
                    "source": scanner.name,
                    "finding": "",
                    "view": "AP" if bedside else "PA",
                    "sex": patient.sex,
                    "age": float(patient.age),
                    "lung_mask": "",
                    "fold": "",
                }
            )
    return pd.DataFrame(rows)


def phantom_film(
    source: PhantomSource, seed: int, row: Mapping[str, object], size: int, with_opacities: bool = True
) -> Film:
    """The film of one row of `phantom_manifest`, at any size; `with_opacities=False` shows the patient without them.

    A bedside film (view AP) is taken in shallower breath, and the beam from the front enlarges the heart.
    """
    scanner = SCANNERS[source.scanner]
    bedside = row["view"] == "AP"
    patient = phantom_patient(
        str(row["label"]),
        seed,
        "phantom",
        row["patient_id"],
        inspiration_shift_cm=scanner.inspiration_shift_cm if bedside else 0.0,
        heart_magnification=scanner.heart_magnification if bedside else 1.0,
    )
    if not with_opacities:
        patient = replace(patient, opacities=())
    return render(patient, scanner, size, seed, "phantom", row["image_id"])


def render(patient: Patient, scanner: Scanner, size: int, *seed: object) -> Film:
    """One film of a patient. `seed` names the exposure: pose, tone and noise; equal seeds give equal films.

    Any size from 32 pixels; only the quantum noise differs from size to size, as it does between detectors.
    """
    settings = np.random.default_rng(seed_for(*seed, "exposure"))
    noise = np.random.default_rng(seed_for(*seed, "noise", size))
    pose = draw_pose(scanner, settings)
    x, z = rays(scanner.field_cm, size * SUPERSAMPLING)
    attenuation, lung_length, opacity_length = trace(patient, scanner, pose, x, z)
    attenuation += marker_attenuation(scanner, x, z)
    image = expose(scanner, attenuation, size, settings, noise)
    return Film(image, _mask(lung_length, size), _mask(opacity_length, size))


def draw_pose(scanner: Scanner, random: np.random.Generator) -> Pose:
    """Turned, tilted and off-centre by a little, each film anew."""
    turn, tilt, lean = random.normal(0, [scanner.turn_degrees, 0.6 * scanner.turn_degrees, scanner.turn_degrees])
    shift = random.normal(0, [0.6, 0, 0.7])
    return Pose(rotation_matrix(turn, tilt, lean), shift)


def trace(
    patient: Patient, scanner: Scanner, pose: Pose, x: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Attenuation -ln(I / I0), and the lengths (cm) of lung and of opacities, along the rays x (1, W), z (H, 1)."""
    soft, lung, bone = scanner.soft_per_cm, scanner.lung_per_cm, scanner.bone_per_cm
    cage = crossing(patient.cage.moved(pose.rotation, pose.shift), x, z)
    total = soft * union_length([part.moved(pose.rotation, pose.shift) for part in patient.soft], x, z)
    lungs = [overlap(_cross(part, pose, x, z), cage) for part in patient.lungs]
    covers = [[_cross(part, pose, x, z) for part in parts] for parts in patient.displacers]
    lung_length = np.zeros_like(total)
    for air, body, displacers in zip(lungs, patient.lungs, covers, strict=True):
        window = _window(body.moved(pose.rotation, pose.shift), x, z)
        lung_length[window] += uncovered_length(_cut(air, window), _covers(displacers, window))
    total -= (soft - lung) * lung_length
    for body_part, content in patient.bones:
        _add(total, body_part, pose, x, z, content * (bone - soft))
    total += (bone - soft) * rib_length(patient, pose, x, z)
    for body_part in patient.air:
        _add(total, body_part, pose, x, z, -soft)
    opacity_length = np.zeros_like(total)
    for vessel in patient.vessels:
        _add_in_lungs(total, vessel, pose, x, z, soft - lung, lungs, covers)
    for opacity in patient.opacities:
        _add_in_lungs(total, opacity, pose, x, z, soft - lung, lungs, covers, opacity_length)
    return total, lung_length, opacity_length


def union_length(bodies: Sequence[Ellipsoid], x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Length (cm) of the union of bodies along each ray: of each, what those before it leave uncovered."""
    total = np.zeros((z.shape[0], x.shape[1]), x.dtype)
    before: list[Interval] = []
    for body in bodies:
        window = _window(body, x, z)
        crossed = crossing(body, x, z)
        total[window] += uncovered_length(_cut(crossed, window), _covers(before, window))
        before.append(crossed)
    return total


def rib_length(patient: Patient, pose: Pose, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Length (cm) of rib along each ray: the cage's shell inside each slab, behind and in front.

    In front, ribs end as cartilage, which a film does not show, at a distance from the middle that grows downwards.
    """
    inner = patient.cage.moved(pose.rotation, pose.shift)
    outer = Ellipsoid(inner.centre, inner.semi_axes + patient.rib_thickness, inner.axes)
    outer_start, outer_end = crossing(outer, x, z)
    inner_start, inner_end = crossing(inner, x, z)
    front_middle = float((pose.rotation @ [0, inner.semi_axes[1], 0] + pose.shift)[0])
    bony = np.abs(x - front_middle) > 4.5 + 0.28 * np.maximum(z + 8, 0)
    front = (np.where(bony, inner_end, outer_end), outer_end)
    back = (outer_start, inner_start)
    total = np.zeros_like(outer_start)
    for rib in patient.ribs:
        slab = slab_crossing(rib.moved(pose.rotation, pose.shift), x, z)
        total += length(overlap(slab, back)) + length(overlap(slab, front))
    return total


def _cross(body: Ellipsoid, pose: Pose, x: np.ndarray, z: np.ndarray) -> Interval:
    return crossing(body.moved(pose.rotation, pose.shift), x, z)


def _window(body: Ellipsoid, x: np.ndarray, z: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the rays that a small body can meet."""
    half = body.half_extent
    columns = np.searchsorted(x[0], [body.centre[0] - half[0], body.centre[0] + half[0]])
    rows = np.searchsorted(z[:, 0], [body.centre[2] - half[2], body.centre[2] + half[2]])
    return slice(*rows), slice(*columns)


def _cut(interval: Interval, window: tuple[slice, slice]) -> Interval:
    return interval[0][window], interval[1][window]


def _covers(intervals: Sequence[Interval], window: tuple[slice, slice]) -> list[Interval]:
    """Those of the intervals that some ray of the window has; the others can cover nothing there."""
    cut = [_cut(interval, window) for interval in intervals]
    return [(start, end) for start, end in cut if (end > start).any()]


def _add(total: np.ndarray, body: Ellipsoid, pose: Pose, x: np.ndarray, z: np.ndarray, per_cm: float) -> None:
    moved = body.moved(pose.rotation, pose.shift)
    rows, columns = _window(moved, x, z)
    total[rows, columns] += per_cm * length(crossing(moved, x[:, columns], z[rows]))


def _add_in_lungs(
    total: np.ndarray,
    denser: Opacity,
    pose: Pose,
    x: np.ndarray,
    z: np.ndarray,
    per_cm: float,
    lungs: list[Interval],
    covers: list[list[Interval]],
    length_sum: np.ndarray | None = None,
) -> None:
    """Add a vessel or an opacity where it lies in the lung of its side."""
    moved = denser.body.moved(pose.rotation, pose.shift)
    window = _window(moved, x, z)
    side = int(denser.body.centre[0] > 0)
    inside = overlap(crossing(moved, x[:, window[1]], z[window[0]]), _cut(lungs[side], window))
    crossed = uncovered_length(inside, _covers(covers[side], window))
    total[window] += denser.fill * per_cm * crossed
    if length_sum is not None:
        length_sum[window] += crossed


def _mask(lengths: np.ndarray, size: int) -> np.ndarray:
    """1 where a detector element's rays cross more than 2 mm in the mean."""
    return (of_elements(lengths, size) > MASK_LENGTH_CM).astype(np.uint8)
