import copy
import functools

import numpy as np
import pytest
import torch

from cxrlib.generators.diffaugment import STEERING_IMAGES
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import Networks, Stepper, new_networks
from cxrlib.reproducibility import deterministic

EVERYTHING = {
    "style_mixing_probability": 0.7, "path_length_weight": 2.0, "path_length_interval_steps": 2,
    "horizontal_flips": True, "adaptive_target": 0.6, "feature_matching_weight": 10.0,
}  # fmt: skip
SEED = ("test", "all")


def discs(count: int = 12) -> torch.Tensor:
    """uint8 (count, 32, 32), lighter on the right."""
    random = np.random.default_rng(0)
    films = random.integers(0, 100, (count, 32, 32))
    films[:, :, 16:] += 100
    return torch.from_numpy(films.astype(np.uint8))


def stepper(films: torch.Tensor | None = None, compiled: bool | None = None, **changes) -> Stepper:
    settings = GanSettings(**{
        "resolution": 32, "latent_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8, "batch_size": 4,
        "r1_interval_steps": 4, "ema_half_life_images": 20, "path_length_weight": 0, "style_mixing_probability": 0,
    } | changes)  # fmt: skip
    films = discs() if films is None else films
    return Stepper(Networks(**new_networks(films, settings, SEED)), films, settings, SEED, compiled=compiled)


def weights(networks: Networks) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in ("generator", "discriminator", "average", "statistics")
        for key, value in getattr(networks, name).state_dict().items()
    }


@pytest.mark.parametrize("modulation", ["demodulated", "adain"])
@pytest.mark.parametrize("eigenfilms", [False, True])
def test_everything_switched_on_trains_both_networks_and_repeats_itself(modulation, eigenfilms):
    with deterministic(1):
        runs = []
        for _ in range(2):
            run = stepper(modulation=modulation, eigenfilms=eigenfilms, **EVERYTHING)
            before = weights(run.networks)
            for step in range(6):
                run.step(step, 0)
            runs.append(weights(run.networks))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert all(value.isfinite().all() for value in runs[0].values())
    trained = [name for name, _ in run.networks.generator.named_parameters()]
    assert all(not torch.equal(before[f"generator.{name}"], runs[0][f"generator.{name}"]) for name in trained)
    means = run.means()
    assert set(means) == {"loss_discriminator", "loss_generator", "real_sign", "generated_sign", "r1", "path_length"}
    assert run.means() == {}


def test_a_step_depends_on_nothing_but_the_networks_and_its_number():
    with deterministic(1):
        whole = stepper(**EVERYTHING)
        for step in range(5):
            whole.step(step, 0)
        stored = {name: copy.deepcopy(getattr(whole.networks, name).state_dict()) for name in vars(whole.networks)}
        later = stepper(**EVERYTHING)
        for name, state in stored.items():
            getattr(later.networks, name).load_state_dict(state)
        for step in range(5, 9):
            whole.step(step, 0)
            later.step(step, 0)
    found, expected = weights(later.networks), weights(whole.networks)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_path_lengths_are_pulled_towards_their_running_mean():
    run = stepper(path_length_weight=2.0, path_length_interval_steps=2)
    assert run.networks.statistics.path_length == 0
    run.step(0, 0)
    first = run.networks.statistics.path_length.item()
    assert first > 0
    run.step(1, 0)
    assert run.networks.statistics.path_length.item() == first
    run.step(2, 0)
    assert run.networks.statistics.path_length.item() > first
    assert run.means()["path_length"] > 0


def test_strength_of_augmentation_follows_the_discriminator_s_signs():
    for sign, expected in ((1.0, 4 * 4 * 2), (-1.0, 0)):
        run = stepper(adaptive_target=0.6)
        judge = run.judge
        run.judge = lambda *films, judge=judge, sign=sign, **batches: judge(*films, **batches).abs() * sign
        assert run.networks.statistics.strength == 0
        for step in range(8):
            run.step(step, 0)
        assert run.networks.statistics.strength.item() == pytest.approx(expected / STEERING_IMAGES)
    assert stepper().networks.statistics.strength == 1


def test_real_films_are_mirrored_only_where_the_study_asks_for_it():
    films = discs()
    plain, mirrored = stepper(films), stepper(films, horizontal_flips=True)
    lighter_left = []
    for step in range(30):
        shown, seen = mirrored.real_films(step), plain.real_films(step)
        assert (seen[..., 16:].mean((1, 2, 3)) > seen[..., :16].mean((1, 2, 3))).all()
        for film, other in zip(shown, seen, strict=True):
            turned = bool(film[..., :16].mean() > film[..., 16:].mean())
            assert torch.equal(film, other.flip(2) if turned else other)
            lighter_left.append(turned)
    assert np.mean(lighter_left) == pytest.approx(0.5, abs=0.15)


def test_without_its_weight_no_path_length_is_measured():
    run = stepper()
    run.step(0, 0)
    assert "path_length" not in run.means()
    assert run.networks.statistics.path_length == 0


# The compiler looks at a tensor's `.grad` and hides the warning itself, which it can't where warnings are errors.
@pytest.mark.filterwarnings("default:The .grad attribute of a Tensor:UserWarning")
def test_compiled_steps_do_what_plain_ones_do(monkeypatch):
    """All but the machine code, which takes minutes to make: graphs are traced, differentiated and run as they are."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plain, compiled = (stepper(path_length_weight=2.0, compiled=choice) for choice in (False, True))
    for step in range(2):
        plain.step(step, 0)
        compiled.step(step, 0)
    found, expected = weights(compiled.networks), weights(plain.networks)
    for name in expected:
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
