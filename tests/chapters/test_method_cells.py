"""The cells that show the method do what the library does: same films, weights and draws, same result."""

import ast
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.classifiers.fitting import one_cycle_learning_rates
from cxrlib.classifiers.network import start_phase
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.stepping import Batch, Stepper
from cxrlib.films.images import ImageSet
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import Networks, new_networks
from cxrlib.generators.stepping import Stepper as GanStepper
from cxrlib.reproducibility import random_generator

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SEED = 3


def code(chapter):
    cells = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4).cells
    return {cell.id: cell.source for cell in cells if cell.cell_type == "code"}


def run(cells, names, space):
    for name in names:
        exec(compile(cells[name], name, "exec"), space)


def opened(chapter, films, labels, **settings):
    """What the chapter's first cells import, a study of these settings, and these films as its public ones."""
    cells, space = code(chapter), {}
    for source in cells.values():
        imports = [line for line in ast.parse(source).body if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), chapter, "exec"), space)
    images = ImageSet(pd.DataFrame({"image_id": range(len(films)), "label": labels}), films)
    space["load_image_set"] = lambda *of: images
    space["pick_device"] = lambda: torch.device("cpu")
    space["study"] = SimpleNamespace(seed=SEED, **settings)
    return cells, space


def same(network, other):
    """But for few weights: a bias before a batch norm has no slope but rounding, and Adam steps as far for it."""
    differences = [(value - other.state_dict()[name]).abs() for name, value in network.state_dict().items()]
    return float(torch.cat([part.flatten() > 1e-6 for part in differences]).double().mean()) < 0.01


@pytest.mark.parametrize("eigenfilms", [True, False])
def test_the_step_of_chapter_2_is_the_librarys(eigenfilms):
    settings = GanSettings(preset="64px-hundreds", eigenfilms=eigenfilms, resolution=32, channel_max=8)
    films = np.random.default_rng(0).integers(0, 256, (8, 32, 32), dtype=np.uint8)
    cells, space = opened("02_gan_training", films, ["negative"] * 8, gan=settings)
    run(cells, ["02-step-networks"], space)

    # The library's step, from the same weights; it takes the films in an order of its own.
    seed = (SEED, "one step")
    library = Networks(**new_networks(torch.from_numpy(films), settings, seed))
    stepper = GanStepper(library, torch.from_numpy(films), settings, seed, compiled=False)
    assert same(space["generator"], library.generator)
    before = {name: value.clone() for name, value in library.generator.state_dict().items()}
    space["real"], space["random"] = stepper.real_films(0), random_generator("cpu", *seed, "step", 0, 0)
    stepper.step(0, 0)
    run(cells, [name for name in cells if name.startswith("02-step") and name != "02-step-networks"], space)

    assert any(not torch.equal(value, before[name]) for name, value in library.generator.state_dict().items())
    assert same(space["discriminator"], library.discriminator)
    assert same(space["generator"], library.generator)
    means = stepper.means()
    assert space["r1"].item() == pytest.approx(means["r1"], rel=1e-4)
    assert space["loss_discriminator"].item() == pytest.approx(means["loss_discriminator"], rel=1e-4)
    assert space["loss_generator"].item() == pytest.approx(means["loss_generator"], rel=1e-4)


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_the_recipe_of_chapter_4_is_the_librarys(weights):
    settings = ClassifierSettings(network="shufflenet_v2_x0_5", weights="none", image_size=32, batch_size=8, epochs=2)
    films = np.random.default_rng(0).integers(0, 256, (24, 32, 32), dtype=np.uint8)
    cells, space = opened("04_classifier_training", films, ["negative", "positive"] * 12, classifier=settings)
    run(cells, ["04-recipe-network"], space)
    # No weights are loaded here; with "imagenet" the cells and the library treat what is there as if it were trained.
    space["recipe"] = recipe = settings.model_copy(update={"weights": weights})
    rows = torch.arange(0, 24, 3)
    network = space["build_classifier"](settings, SEED, torch.device("cpu"))
    assert same(space["network"], network)
    run(cells, ["04-recipe-films", "04-recipe-frozen"], space)

    images, labels = torch.from_numpy(films), torch.tensor([0, 1] * 12)

    def step(phase, rate):
        parameters = start_phase(network, phase, pretrained=weights != "none")
        stepper = Stepper(network, parameters, images, labels, space["statistics"])
        return float(stepper.step(Batch(rows, space["angles"], space["mirrored"], torch.tensor(rate))))

    assert step("frozen", recipe.frozen_learning_rate) == pytest.approx(space["loss_frozen"].item(), rel=1e-4)
    assert same(space["network"], network)
    run(cells, ["04-recipe-all", "04-recipe-losses"], space)
    rates = one_cycle_learning_rates(2 * 3, recipe.maximum_learning_rate)
    assert space["first_rate"] == pytest.approx(rates[0])
    assert step("all", rates[0]) == pytest.approx(space["loss_all"].item(), rel=1e-3)
    assert same(space["network"], network)
    assert space["policy"].get_last_lr()[0] == pytest.approx(rates[1])
