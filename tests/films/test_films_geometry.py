"""Closed-form path lengths against numerical integration along each ray."""

import numpy as np
import pytest

from cxrlib.films.geometry import (
    Slab,
    between,
    crossing,
    ellipsoid,
    length,
    overlap,
    rotation_matrix,
    slab_crossing,
    uncovered_length,
)
from cxrlib.films.phantom import union_length

X = np.linspace(-9.3, 9.1, 23)[None, :]
Z = np.linspace(-9.7, 9.4, 19)[:, None]
STEP_CM = 0.002
DEPTHS = np.arange(-15, 15, STEP_CM) + STEP_CM / 2


def inside_ellipsoid(body):
    """Boolean (Z, X, depths): which sampled points lie in the body, from its definition."""
    x, z, y = np.broadcast_arrays(X[:, :, None], Z[:, :, None], DEPTHS[None, None, :])
    points = np.stack([x, y, z], axis=-1) - body.centre
    scaled = points @ (body.axes / body.semi_axes[:, None]).T
    return (scaled**2).sum(axis=-1) <= 1


@pytest.fixture(scope="module")
def bodies():
    turned = rotation_matrix(20, -15, 10)
    shift = np.array([0.5, -1.0, 0.8])
    return [
        ellipsoid((0, 0, 0), (6, 4, 7), 25).moved(turned, shift),
        ellipsoid((3, 1, 2), (4, 5, 3), -40).moved(turned, shift),
        between((-6, -2, -5), (4, 3, 6), 1.5).moved(turned, shift),
    ]


def test_path_through_an_ellipsoid_matches_integration(bodies):
    for body in bodies:
        summed = inside_ellipsoid(body).sum(axis=-1) * STEP_CM
        np.testing.assert_allclose(length(crossing(body, X, Z)), summed, atol=3 * STEP_CM)


def test_path_through_the_middle_of_a_sphere_is_its_diameter():
    start, end = crossing(ellipsoid((1, 2, 3), (2.5, 2.5, 2.5)), np.array([[1.0]]), np.array([[3.0]]))
    assert (start[0, 0], end[0, 0]) == pytest.approx((-0.5, 4.5))


def test_what_bodies_displace_matches_integration(bodies):
    lung, heart, vessel = bodies
    expected = inside_ellipsoid(lung) & ~(inside_ellipsoid(heart) | inside_ellipsoid(vessel))
    found = uncovered_length(crossing(lung, X, Z), [crossing(heart, X, Z), crossing(vessel, X, Z)])
    np.testing.assert_allclose(found, expected.sum(axis=-1) * STEP_CM, atol=6 * STEP_CM)


def test_union_matches_integration(bodies):
    expected = np.any([inside_ellipsoid(body) for body in bodies], axis=0).sum(axis=-1) * STEP_CM
    np.testing.assert_allclose(union_length(bodies, X, Z), expected, atol=6 * STEP_CM)


def test_rib_piece_of_shell_and_slab_matches_integration(bodies):
    slab = Slab(np.array([0.0, -np.sin(0.5), np.cos(0.5)]), 1.0, 1.2).moved(rotation_matrix(5, 3, 2), np.ones(3))
    x, z, y = np.broadcast_arrays(X[:, :, None], Z[:, :, None], DEPTHS[None, None, :])
    distance = np.stack([x, y, z], axis=-1) @ slab.normal - slab.offset
    expected = inside_ellipsoid(bodies[0]) & (np.abs(distance) <= 0.6)
    found = length(overlap(crossing(bodies[0], X, Z), slab_crossing(slab, X, Z)))
    np.testing.assert_allclose(found, expected.sum(axis=-1) * STEP_CM, atol=3 * STEP_CM)


def test_bounding_box_holds_the_body_and_touches_it(bodies):
    for body in bodies:
        wide = np.linspace(-12, 12, 4001)
        met = length(crossing(body, wide[None, :], wide[::40, None])).max(axis=0) > 0
        expected = body.centre[0] + np.array([-1, 1]) * body.half_extent[0]
        np.testing.assert_allclose(wide[met][[0, -1]], expected, atol=0.1)
