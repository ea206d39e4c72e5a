"""Ellipsoids and slabs crossed by parallel rays: every path length in closed form.

Rays run along y (from back to front) through the points (x, z) of a film. A convex body covers one interval
(start, end) of each ray; a ray that misses it has end <= start. What one body displaces of another is the length of a
difference of intervals, which inclusion and exclusion give exactly: nothing is sampled along the ray.

Lengths are centimetres. x runs to the right of the film (the patient's left), y from back to front, z downwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Interval = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ellipsoid:
    """All points p with |diag(1 / semi_axes) axes (p - centre)| <= 1.

    centre (3,) and semi_axes (3,) in cm; axes (3, 3) holds one unit vector a row.
    """

    centre: np.ndarray
    semi_axes: np.ndarray
    axes: np.ndarray

    def moved(self, rotation: np.ndarray, shift: np.ndarray) -> "Ellipsoid":
        """The same body after p -> rotation p + shift."""
        return Ellipsoid(rotation @ self.centre + shift, self.semi_axes, self.axes @ rotation.T)

    @property
    def half_extent(self) -> np.ndarray:
        """Half the size of the bounding box along x, y and z, in cm."""
        return np.linalg.norm(self.semi_axes[:, None] * self.axes, axis=0)


@dataclass(frozen=True)
class Slab:
    """All points p with |normal . p - offset| <= thickness / 2; normal (3,) has length 1, the rest in cm."""

    normal: np.ndarray
    offset: float
    thickness: float

    def moved(self, rotation: np.ndarray, shift: np.ndarray) -> "Slab":
        """The same slab after p -> rotation p + shift."""
        normal = rotation @ self.normal
        return Slab(normal, self.offset + float(normal @ shift), self.thickness)


def ellipsoid(centre: ArrayLike, semi_axes: ArrayLike, tilt_degrees: float = 0.0) -> Ellipsoid:
    """An ellipsoid with the axes of the body; a positive tilt turns its lower end towards the film's left."""
    tilt = np.deg2rad(tilt_degrees)
    axes = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    return Ellipsoid(np.array(centre, float), np.array(semi_axes, float), axes)


def between(first: ArrayLike, last: ArrayLike, radius: float) -> Ellipsoid:
    """A slender ellipsoid from one point to another, of this radius at its middle: a vessel, a clavicle."""
    start, end = np.array(first, float), np.array(last, float)
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    across = _cross_product(along, (0.0, 1.0, 0.0) if abs(along[1]) < 0.9 else (1.0, 0.0, 0.0))
    across /= np.linalg.norm(across)
    axes = np.stack([across, _cross_product(along, across), along])
    return Ellipsoid((start + end) / 2, np.array([radius, radius, length / 2]), axes)


def _cross_product(a: np.ndarray, b: np.ndarray | tuple[float, ...]) -> np.ndarray:
    # numpy's own takes twenty times as long for a single pair of vectors.
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def rotation_matrix(axial_degrees: float, in_plane_degrees: float, lordotic_degrees: float) -> np.ndarray:
    """(3, 3): turn about the body's length, then in the film's plane, then forwards or backwards."""
    axial, plane, lordotic = np.deg2rad([axial_degrees, in_plane_degrees, lordotic_degrees])
    about_z = [[np.cos(axial), np.sin(axial), 0], [-np.sin(axial), np.cos(axial), 0], [0, 0, 1]]
    about_y = [[np.cos(plane), 0, -np.sin(plane)], [0, 1, 0], [np.sin(plane), 0, np.cos(plane)]]
    about_x = [[1, 0, 0], [0, np.cos(lordotic), -np.sin(lordotic)], [0, np.sin(lordotic), np.cos(lordotic)]]
    return np.array(about_x) @ np.array(about_y) @ np.array(about_z)


def crossing(body: Ellipsoid, x: np.ndarray, z: np.ndarray) -> Interval:
    """Where rays cross an ellipsoid; x and z in cm broadcast against each other. Missed rays get start == end.

    With A = axes^T diag(1 / semi_axes^2) axes and q = (x, y, z) - centre, the crossing solves q^T A q = 1, a quadratic
    in y: A_yy y^2 + 2 (A_xy x + A_yz z) y + (A_xx x^2 + 2 A_xz x z + A_zz z^2 - 1) = 0.
    """
    a = (body.axes.T / body.semi_axes**2) @ body.axes
    x, z = x - float(body.centre[0]), z - float(body.centre[2])
    half_linear = float(a[0, 1]) * x + float(a[1, 2]) * z
    constant = float(a[0, 0]) * (x * x) + float(2 * a[0, 2]) * x * z + (float(a[2, 2]) * (z * z) - 1)
    root = np.sqrt(np.maximum(half_linear * half_linear - float(a[1, 1]) * constant, 0))
    middle = float(body.centre[1]) - half_linear / float(a[1, 1])
    half = root / float(a[1, 1])
    return middle - half, middle + half


def slab_crossing(slab: Slab, x: np.ndarray, z: np.ndarray) -> Interval:
    """Where rays cross a slab, which must not be parallel to them (normal's y is not 0)."""
    n_x, n_y, n_z = (float(value) for value in slab.normal)
    middle = (slab.offset - n_x * x - n_z * z) / n_y
    half = slab.thickness / 2 / abs(n_y)
    return middle - half, middle + half


def overlap(first: Interval, second: Interval) -> Interval:
    """The interval common to both; end <= start where there is none."""
    return np.maximum(first[0], second[0]), np.minimum(first[1], second[1])


def length(interval: Interval) -> np.ndarray:
    """Length in cm, 0 for a missed ray."""
    return np.maximum(interval[1] - interval[0], 0)


def uncovered_length(interval: Interval, covers: Sequence[Interval]) -> np.ndarray:
    """Length in cm of `interval` outside the union of `covers`, exactly.

    |I - (C1 u C2 ...)| = |I - (C2 u ...)| - |(I n C1) - (C2 u ...)|: inclusion and exclusion, 2^n interval lengths.
    """
    if not covers:
        return length(interval)
    rest = covers[1:]
    shared = overlap(interval, covers[0])
    if not (shared[1] > shared[0]).any():
        return uncovered_length(interval, rest)
    return uncovered_length(interval, rest) - uncovered_length(shared, rest)
