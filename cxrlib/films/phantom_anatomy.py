"""One simulated patient: a chest built of ellipsoids, drawn from a seed.

The body, all in cm: a trunk with shoulders, neck and arms; inside it a rib cage (an ellipsoidal shell, cut into ribs by
tilted slabs), two lungs, and what displaces them: heart, mediastinum, aortic arch and the domes of the diaphragm.
Vessels and the bronchi branch from the hila; vertebrae, clavicles and shoulder blades add bone; trachea and stomach
hold air. Positives get ground-glass opacities: clusters of ellipsoids of denser lung, mostly peripheral, in the lower
zones and on both sides (Schaudt et al. 2021, figure 1, shows such a film).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrlib.films.geometry import Ellipsoid, Slab, between, ellipsoid
from cxrlib.reproducibility import seed_for

RIGHT, LEFT = -1, 1


@dataclass(frozen=True)
class Opacity:
    """Denser lung: `fill` is the share of its air that is replaced, 0 (none) to 1 (as dense as soft tissue)."""

    body: Ellipsoid
    fill: float


@dataclass(frozen=True)
class Patient:
    """Everything that a film of this patient shows, in the patient's own coordinates (cm, see `geometry`)."""

    sex: str
    age: int
    label: str
    soft: tuple[Ellipsoid, ...]
    cage: Ellipsoid
    rib_thickness: float
    ribs: tuple[Slab, ...]
    lungs: tuple[Ellipsoid, Ellipsoid]
    displacers: tuple[tuple[Ellipsoid, ...], tuple[Ellipsoid, ...]]
    vessels: tuple[Opacity, ...]
    bones: tuple[tuple[Ellipsoid, float], ...]
    air: tuple[Ellipsoid, ...]
    opacities: tuple[Opacity, ...] = field(default=())


def phantom_patient(
    label: str, *seed: object, inspiration_shift_cm: float = 0.0, heart_magnification: float = 1.0
) -> Patient:
    """The patient of this seed: equal parts give the same patient, whatever the size of the film.

    Anatomy does not depend on `label` ("negative" or "positive"); opacities come from a stream of their own, so that
    both labels of one seed differ by the opacities alone. A patient in bed breathes in less deeply (a negative
    `inspiration_shift_cm`), and the diverging beam from the front enlarges the heart.
    """
    if label not in ("negative", "positive"):
        raise ValueError(f"label: found {label!r}, expected 'negative' or 'positive'")
    random = np.random.default_rng(seed_for(*seed, "anatomy"))
    sex = "F" if random.random() < 0.45 else "M"
    size = random.normal(0.97 if sex == "F" else 1.03, 0.035)
    obesity = float(np.clip(random.gamma(2.0, 0.28), 0, 1.8))
    inspiration = float(np.clip(random.normal(0, 0.8), -1.8, 1.6)) + inspiration_shift_cm
    cage = ellipsoid((0, 0, 3 * size), np.array([13.4, 9.4, 19.5]) * size * random.normal(1, 0.025, 3))
    lungs, displacers = _chest(random, size, inspiration, heart_magnification)
    patient: dict[str, Any] = {
        "sex": sex,
        "age": int(np.clip(random.normal(56, 17), 18, 95)),
        "label": label,
        "soft": _soft_tissue(random, sex, cage, obesity),
        "cage": cage,
        "rib_thickness": random.uniform(0.55, 0.8),
        "ribs": _ribs(random, size),
        "lungs": lungs,
        "displacers": displacers,
        "vessels": _vessels(random, size),
        "bones": _bones(random, size),
        "air": _air(random, size, inspiration),
    }
    if label == "positive":
        opacity_random = np.random.default_rng(seed_for(*seed, "opacities"))
        patient["opacities"] = _opacities(opacity_random, lungs, inspiration * size)
    return Patient(**patient)


def _soft_tissue(random: np.random.Generator, sex: str, cage: Ellipsoid, obesity: float) -> tuple[Ellipsoid, ...]:
    """Trunk, neck, shoulders, arms and breasts; their union is the body."""
    width, depth, _ = cage.semi_axes + np.array([1.9 + 1.8 * obesity, 1.6 + 1.6 * obesity, 0])
    drop = random.normal(0, 0.7)
    amount = random.uniform(0.2, 1.0) + 0.3 * obesity if sex == "F" else 0.25 * max(obesity - 0.5, 0)
    low, out = random.normal(5.6, 1.2), random.normal(7.9, 0.5)
    parts = [ellipsoid((0, 0, 6.5), (width, depth, 28)), ellipsoid((0, -1.5, -20), (4.6 + 0.6 * obesity, 5.0, 10))]
    for side in (RIGHT, LEFT):
        parts.append(ellipsoid((side * 11.5, -1, -11.6 + drop), (9.5, 5.0 + 0.4 * obesity, 4.2), side * -20))
        parts.append(ellipsoid((side * (width + 4.6), 0, 5 + drop), (3.9, 4.5, 18), side * -5))
        # Only what stands out in front of the trunk counts, so that a breast fades upwards and ends in a fold below.
        breast = (4.8 + amount, 3.4 + 0.9 * amount, 5.6 + amount)
        parts.append(ellipsoid((side * out, depth - 4.2 + 0.7 * amount, low), breast, side * 15))
    return tuple(parts)


def _ribs(random: np.random.Generator, size: float) -> tuple[Slab, ...]:
    """Eleven slabs, falling from back to front."""
    slope = np.deg2rad(random.normal(30, 2.5))
    spacing, first = random.normal(2.55, 0.08) * size, random.normal(-12.2, 0.3) * size
    normal = np.array([0, -np.sin(slope), np.cos(slope)])
    return tuple(
        Slab(normal, (first + spacing * number) * np.cos(slope), random.normal(1.15, 0.06)) for number in range(11)
    )


def _chest(
    random: np.random.Generator, size: float, inspiration: float, heart_magnification: float
) -> tuple[tuple[Ellipsoid, Ellipsoid], tuple[tuple[Ellipsoid, ...], tuple[Ellipsoid, ...]]]:
    """Lungs (right, left) and what displaces each of them."""
    apex = random.normal(0, 0.4)
    right = ellipsoid((-6.4 * size, -0.3, 2.4 + apex), np.array([6.6, 9.2, 15.6]) * size, random.normal(5, 1))
    left = ellipsoid((6.3 * size, -0.3, 2.6 + apex), np.array([6.4, 9.2, 15.6]) * size, random.normal(-5, 1))
    heart_size = heart_magnification * random.normal(1.0, 0.09) * size * (1 - 0.03 * inspiration)
    low = inspiration * 1.0
    heart = ellipsoid(
        (3.0 * size, 2.5, 5.6 + 0.5 * low), np.array([5.9, 4.8, 4.4]) * heart_size, random.normal(-32, 5) - 2 * low
    )
    atrium = ellipsoid((-1.5 * size, 1.5, 5.2 + 0.5 * low), np.array([2.6, 3.5, 4.3]) * heart_size, 5)
    width = random.normal(2.5, 0.22) * size
    mediastinum = ellipsoid((0.2, -2.5, -1), (width, 5.5, 19 * size))
    upper = ellipsoid((-0.3, 0.5, -7.5), (width * random.uniform(1.0, 1.25), 4.5, 6.5 * size))
    trunk = ellipsoid((2.0 * size, 1, -1.8), (random.normal(2.3, 0.2), 3.0, 5.0), -8)
    knob = ellipsoid((random.normal(2.3, 0.25) * size, -1.5, -5.2), np.array([1.9, 2.3, 1.9]) * random.normal(1, 0.12))
    top = 8.6 * size + low
    right_dome = ellipsoid((-6.6 * size, 0.5, top + 9 + random.normal(0, 0.3)), (8.4 * size, 11.5, 9.3 * size), -4)
    left_dome = ellipsoid((6.8 * size, 0.5, top + 10 + random.normal(0, 0.4)), (8.3 * size, 11.5, 9.3 * size), 4)
    return (right, left), (
        (mediastinum, upper, atrium, right_dome),
        (mediastinum, upper, trunk, heart, knob, left_dome),
    )


def _vessels(random: np.random.Generator, size: float) -> tuple[Opacity, ...]:
    """Pulmonary vessels: from each hilum outwards, thinner with distance, fuller below (gravity)."""
    vessels = []
    for side in (RIGHT, LEFT):
        hilum = np.array([side * random.normal(3.6, 0.25) * size, 0.0, random.normal(0.2 - 0.6 * side, 0.4)])
        vessels.append(Opacity(ellipsoid(hilum, (1.3, 1.7, 2.2), side * 12), 0.8))
        for angle in np.linspace(-75, 80, 9) + random.normal(0, 7, 9):
            direction = np.array([side * np.cos(np.deg2rad(angle)), random.normal(0, 0.45), np.sin(np.deg2rad(angle))])
            reach = random.uniform(4.0, 6.5) * size * (1 + 0.35 * abs(np.sin(np.deg2rad(angle))))
            branch = hilum + 0.55 * reach * direction
            vessels.append(Opacity(between(hilum, branch, random.uniform(0.42, 0.62)), 0.9))
            for _ in range(2):
                end = branch + reach * 0.75 * (direction + random.normal(0, 0.42, 3))
                vessels.append(Opacity(between(branch - 0.3 * direction, end, random.uniform(0.22, 0.38)), 0.9))
    return tuple(vessels)


def _bones(random: np.random.Generator, size: float) -> tuple[tuple[Ellipsoid, float], ...]:
    """Bodies and their bone content, 1 for the ribs' mean: vertebrae, clavicles, shoulder blades, sternum, humeri."""
    bones: list[tuple[Ellipsoid, float]] = []
    curve = random.normal(0, 0.35)
    for level in np.arange(-19, 20, 2.45) * size:
        bones.append((ellipsoid((curve * np.cos(level / 9), -7.0, level), (1.75, 1.6, 1.08)), 0.5))
        bones.append((ellipsoid((curve * np.cos(level / 9), -9.2, level + 0.6), (0.5, 1.2, 0.9)), 0.4))
    rise, height = random.normal(1.5, 0.6), random.normal(-10.2, 0.5)
    for side in (RIGHT, LEFT):
        inner = np.array([side * 2.0, 5.5, height])
        middle = np.array([side * 8.5 * size, 4.0, height - rise * 0.5])
        outer = np.array([side * 16.0 * size, 0.5, height - rise - 0.6])
        # Two overlapping pieces give the clavicle its curve.
        bones.append(
            (between(inner - np.array([side * 0.5, 0, -0.2]), middle + np.array([side * 1.2, 0, 0]), 0.75), 1.1)
        )
        bones.append((between(middle - np.array([side * 1.2, 0, 0.1]), outer, 0.62), 1.1))
        blade = ellipsoid((side * random.normal(12.8, 0.8), -8.5, -4.5), (3.2, 0.35, 6.8), side * 14)
        bones.append((blade, 0.8))
        bones.append((ellipsoid((side * 17.2 * size, -1, -9.6), (2.4, 2.3, 2.5)), 0.6))
        bones.append((ellipsoid((side * 18.6 * size, -1, 4), (1.3, 1.3, 14), side * -4), 0.9))
    bones.append((ellipsoid((0, 8.0, 0), (1.6, 0.6, 8)), 0.6))
    return tuple(bones)


def _air(random: np.random.Generator, size: float, inspiration: float) -> tuple[Ellipsoid, ...]:
    """Trachea, main bronchi, and often a bubble in the stomach."""
    shift = random.normal(0.0, 0.3)
    split = np.array([0.3 + shift, -1.5, -2.6])
    trachea = between((shift * 0.3, 0.5, -24), split + np.array([0, 0, 1.5]), 0.95)
    below = split - np.array([0, 0, 0.6])
    bronchi = [between(below, split + np.array([side * 3.4, 0, 2.6 + 0.4 * side]), 0.6) for side in (RIGHT, LEFT)]
    stomach = ellipsoid((random.normal(6, 1), 2, 12.6 * size + inspiration), (random.uniform(1.5, 3.2), 2.5, 1.2))
    return (trachea, *bronchi, stomach) if random.random() < 0.6 else (trachea, *bronchi)


def _opacities(random: np.random.Generator, lungs: tuple[Ellipsoid, Ellipsoid], low: float) -> tuple[Opacity, ...]:
    """Ground glass: three to eight clusters, each of four to six overlapping ellipsoids of denser lung."""
    severity = random.beta(1.8, 1.5)
    bilateral = random.random() < 0.85
    first_side = int(random.integers(2))
    opacities = []
    for cluster in range(3 + round(5 * severity)):
        lung = lungs[(first_side + cluster) % 2 if bilateral else first_side]
        side = np.sign(lung.centre[0])
        height = np.clip(random.normal(4.0, 4.2), -8, 8.5) + 0.8 * low
        along = (height - lung.centre[2]) / lung.semi_axes[2]
        reach = np.sqrt(max(1 - along**2, 0.05))
        outward = np.clip(random.normal(0.55, 0.25), -0.3, 0.85) * lung.semi_axes[0] * reach
        depth = random.uniform(-0.75, 0.75) * lung.semi_axes[1] * reach
        middle = np.array([lung.centre[0] + side * outward, depth, height])
        radius = random.uniform(1.6, 2.9) * (0.85 + 0.5 * severity)
        parts = int(random.integers(4, 7))
        # Where all parts of a cluster overlap, no more than all of the lung's air is replaced.
        fill = min(random.uniform(0.65, 1.15) * (0.7 + 0.5 * severity), 1.0) / parts
        for _ in range(parts):
            centre = middle + random.normal(0, 0.55 * radius, 3)
            axes = radius * random.uniform(0.65, 1.2, 3) * [1.0, 1.6, 1.0]
            opacities.append(Opacity(ellipsoid(centre, axes, random.uniform(-40, 40)), fill))
    return tuple(opacities)
