"""Feature matching: the gradient that it should have, the average that it keeps, and where it leads."""

import copy

import pytest
import torch

from cxrlib.features import bring_to, build_network
from cxrlib.generators.matching import HALF_LIFE_FILMS, SIDE, FeatureMatching
from cxrlib.generators.processes import Processes


def films(count: int, seed: int) -> torch.Tensor:
    """uint8 (count, 32, 32): a film of coarse blobs."""
    coarse = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (bring_to(coarse, 32)[:, 0] * 255).to(torch.uint8)


def scaled(values: torch.Tensor) -> torch.Tensor:
    return values.unsqueeze(1).float() / 127.5 - 1


@pytest.fixture(scope="module")
def network():
    return build_network("efficientnet_lite1", "imagenet", 1).eval()


def features(network: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
    """By the network as it was trained, of films in [-1, 1]."""
    grey = (bring_to(values, SIDE) + 1) * 127.5
    return network.features((grey - 127) / 128).mean((2, 3))


@pytest.fixture(scope="module")
def real():
    return films(20, 1)


def matching(real: torch.Tensor) -> FeatureMatching:
    return FeatureMatching(real, torch.zeros(1280), Processes())


def test_its_gradient_is_that_of_half_the_squared_distance_of_mean_features(network, real):
    # In double precision: roundings would put features on the other side of a kink.
    generated, match = scaled(films(4, 2)).double().requires_grad_(), matching(real)
    match.network.double()
    match.average = match.average.double()
    match.loss(generated, 0).backward()
    found, generated.grad = generated.grad, None
    with torch.no_grad():
        known = features(network, scaled(real))
    spread = known.std(0) + 0.1 * known.std(0).mean()
    means = features(copy.deepcopy(network).double(), generated).mean(0)
    (((means - known.mean(0)) / spread).square().mean() / 2).backward()
    assert float((found - generated.grad).norm()) < 1e-2 * float(generated.grad.norm())


def test_its_average_is_of_all_films_at_first_and_forgets_later(network, real):
    batches = [scaled(films(4, seed)) for seed in (2, 3, 4)]
    with torch.no_grad():
        means = torch.stack([features(network, batch).mean(0) for batch in batches])
        match = matching(real)
        for number, batch in enumerate(batches):
            match.loss(batch, number)
        torch.testing.assert_close(match.average, means.mean(0), rtol=1e-3, atol=1e-4)
        match.loss(batches[0], 100_000)
    kept = 0.5 ** (4 / HALF_LIFE_FILMS)
    torch.testing.assert_close(match.average, means.mean(0).lerp(means[0], 1 - kept), rtol=1e-3, atol=1e-4)


def test_films_that_follow_it_come_nearer_to_real_ones(network, real):
    with torch.no_grad():
        known = features(network, scaled(real))

    def distance(values):
        with torch.no_grad():
            return float(((features(network, values) - known.mean(0)).mean(0) / (known.std(0) + 0.05)).square().mean())

    blurred = bring_to(bring_to(scaled(films(8, 5)), 4), 32).requires_grad_()
    before, match, optimiser = distance(blurred), matching(real), torch.optim.Adam([blurred], 0.02)
    for step in range(20):
        match.loss(blurred, step).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert distance(blurred) < before / 4
