"""The paper's recipe (Schaudt et al. 2021) on films in memory, resumable after every epoch.

Phase `frozen`: `frozen_epochs` in which only the new linear layer learns, at `frozen_learning_rate`. Phase `all`:
`epochs` in which every parameter learns under torch's one-cycle policy. Cross-entropy, Adam with betas 0.9 and 0.999,
which the one-cycle policy is told to leave alone. The weights of the last epoch are the result.

An epoch takes `films.epoch_films` films from one shuffled pass over the arm's rows after another, and goes on where
the epoch before ended. That is one pass, or, in an arm at equal steps, as many films as the baseline has.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrlib.checkpoints import load_own_state, save_state
from cxrlib.classifiers.composition import TrainingFilms
from cxrlib.classifiers.network import Phase, PixelStatistics, augment_strongly, build_classifier, start_phase
from cxrlib.classifiers.prediction import predict_probabilities
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.stepping import Batch, Stepper, make_stepper
from cxrlib.errors import InputError
from cxrlib.files import append_log, trim_log
from cxrlib.films.images import ImageSet
from cxrlib.reproducibility import pick_device, random_generator, seed_for

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, dict[str, Any]], None]


@dataclass
class TrainingRun:
    """What is trained, with what, and where its state goes. `name` tells the random draws of one seed from others'.

    `start` are the weights of a trained classifier that is to be trained further; None means the settings' `weights`.
    """

    settings: ClassifierSettings
    name: tuple[Any, ...]
    films: TrainingFilms
    statistics: PixelStatistics
    strong_augmentation: bool = False
    start: dict[str, Tensor] | None = None
    validation: ImageSet | None = None
    folder: Path | None = None
    fingerprint: Any = None
    progress: Progress | None = None
    epochs_done: int = 0
    seconds: float = 0.0

    @property
    def total_epochs(self) -> int:
        return self.settings.frozen_epochs + self.settings.epochs

    @property
    def steps_per_epoch(self) -> int:
        return len(batches(torch.arange(self.films.epoch_films), self.settings.batch_size))

    @property
    def checkpoint(self) -> Path | None:
        return self.folder / "checkpoint" / "state.safetensors" if self.folder else None


def fit(run: TrainingRun) -> nn.Module:
    """Train a network on the run's films, going on from its checkpoint if there is one."""
    settings, device = run.settings, pick_device()
    started = time.perf_counter()
    network = build_classifier(settings, seed_for(*run.name, "initialise"), device)
    if run.start is not None:
        network.load_state_dict(run.start)
    images = torch.from_numpy(np.require(run.films.images, requirements=["C", "W"])).to(device)
    originals = images.clone() if run.strong_augmentation else None
    labels = torch.from_numpy(run.films.labels).to(device)
    steps = run.steps_per_epoch
    frozen_rates = [settings.frozen_learning_rate] * (steps * settings.frozen_epochs)
    learning_rates = frozen_rates + one_cycle_learning_rates(steps * settings.epochs, settings.maximum_learning_rate)

    stepper = None
    saved = _resume(run, device)
    if saved:
        network.load_state_dict(saved["network"])
    for epoch in range(run.epochs_done, run.total_epochs):
        phase: Phase = "frozen" if epoch < settings.frozen_epochs else "all"
        if stepper is None or epoch == settings.frozen_epochs:
            parameters = start_phase(network, phase, pretrained=settings.weights != "none" or run.start is not None)
            stepper = make_stepper(network, parameters, images, labels, run.statistics, run.films.label_weights)
        if saved and epoch == run.epochs_done and epoch != settings.frozen_epochs:
            _restore_optimiser(stepper.optimiser, saved["optimiser"])

        if originals is not None:
            augment_strongly(originals, images, seed_for(*run.name, "strong augmentation", epoch))
        rates = learning_rates[epoch * steps : (epoch + 1) * steps]
        loss = train_epoch(stepper, rates, run, epoch)

        facts = {"phase": phase, "epoch": epoch + 1, "learning_rate": rates[-1], "training_loss": loss}
        if run.validation is not None:
            p_positive = predict_probabilities(network, run.validation.images, run.statistics)
            facts["validation_accuracy"] = float(((p_positive >= 0.5) == run.validation.labels).mean())
        _save(run, network, stepper.optimiser, facts, epoch + 1, time.perf_counter() - started)
    run.seconds += time.perf_counter() - started
    return network


def one_cycle_learning_rates(steps: int, maximum_learning_rate: float) -> list[float]:
    """The learning rate of every step under torch's OneCycleLR with its default shape; momentum is left alone."""
    placeholder = torch.optim.SGD([torch.zeros(1)], lr=maximum_learning_rate)
    policy = torch.optim.lr_scheduler.OneCycleLR(
        placeholder, max_lr=maximum_learning_rate, total_steps=steps, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(float(policy.get_last_lr()[0]))
        placeholder.step()
        policy.step()
    return rates


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """An epoch's order cut into batches; a last film by itself joins the batch before, as batch norm needs two."""
    parts = list(order.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def epoch_order(name: tuple[Any, ...], pool: int, films: int, epoch: int) -> Tensor:
    """Which of the `pool` rows an epoch takes, int64 (films,): its part of an endless row of shuffled passes."""
    first = epoch * films // pool
    last = ((epoch + 1) * films - 1) // pool
    passes = [
        torch.randperm(pool, generator=random_generator("cpu", *name, "pass", number))
        for number in range(first, last + 1)
    ]
    return torch.cat(passes)[epoch * films - first * pool :][:films]


def train_epoch(stepper: Stepper, learning_rates: list[float], run: TrainingRun, epoch: int) -> float:
    """The steps of one epoch; returns the mean loss. All draws are named by seed and epoch."""
    device, settings, films = stepper.images.device, run.settings, run.films.epoch_films
    order = epoch_order(run.name, len(run.films.rows), films, epoch)
    generator = random_generator("cpu", *run.name, "augmentation", epoch)
    angles = (2 * torch.rand(films, generator=generator) - 1) * settings.rotation_degrees
    flipped = torch.rand(films, generator=generator) < 0.5 * settings.horizontal_flip
    columns = [column.to(device) for column in (torch.from_numpy(run.films.rows)[order], angles, flipped)]
    parts = [batches(column, settings.batch_size) for column in columns]
    rates = torch.tensor(learning_rates, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
    losses = torch.empty(len(learning_rates), device=device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Some networks drop units or layers at random, and draw for it from torch's own state.
        torch.manual_seed(seed_for(*run.name, "network", epoch))
        for step, (rows, turns, mirrored) in enumerate(zip(*parts, strict=True)):
            losses[step] = stepper.step(Batch(rows, turns, mirrored, rates[step]))
    _check_finite(stepper.network, losses, learning_rates, run, epoch)
    sizes = torch.tensor([len(rows) for rows in parts[0]], dtype=torch.float64)
    return float((losses.cpu().double() * sizes).sum() / films)


def _check_finite(
    network: nn.Module, losses: Tensor, learning_rates: list[float], run: TrainingRun, epoch: int
) -> None:
    """Stop where the loss or a weight is no number; once an epoch, since asking a GPU after each step would halt it."""
    wrong = torch.nonzero(~losses.isfinite())
    if len(wrong):
        step = int(wrong[0])
        found = f"the loss of step {step + 1} of {len(losses)}"
    # A sum is finite only if all its terms are, and takes an eighth of the time of asking each.
    elif not all(bool(value.sum().isfinite()) for value in network.state_dict().values()):
        step = len(losses) - 1
        found = f"a weight after step {step + 1} of {len(losses)}"
    else:
        return
    kept = f"the checkpoint of epoch {epoch} is intact" if run.folder and epoch else "nothing was written"
    rate = "frozen_learning_rate" if epoch < run.settings.frozen_epochs else "maximum_learning_rate"
    raise InputError(
        f"{run.folder or 'training'}: epoch {epoch + 1} of {run.total_epochs}: {found} (learning rate "
        f"{learning_rates[step]:.3g}) is no finite number; {kept}. Lower `classifier.{rate}`, or start from other "
        "`classifier.weights`, and train again"
    )


def _resume(run: TrainingRun, device: torch.device) -> dict[str, Any] | None:
    """The saved state, if it belongs to this run; sets what the run has done so far."""
    if run.checkpoint is None or run.folder is None:
        return None
    saved = load_own_state(run.checkpoint, run.fingerprint, device) if run.checkpoint.exists() else None
    if saved:
        run.epochs_done, run.seconds = saved["epochs_done"], saved["seconds"]
        logger.info("%s: going on after epoch %d of %d", run.folder, run.epochs_done, run.total_epochs)
    trim_log(run.folder / "log.csv", lambda row: int(row["epoch"]) <= run.epochs_done)
    return saved


def _restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load Adam's state and lay its averages out in memory like their parameters, as they were when saved."""
    optimiser.load_state_dict(saved)
    for parameter, averages in optimiser.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            averages[name] = torch.empty_like(parameter, requires_grad=False).copy_(averages[name])


def _save(
    run: TrainingRun,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    facts: dict[str, Any],
    epochs_done: int,
    seconds: float,
) -> None:
    """Log the epoch, then save the state: a log line without its state is trimmed, a lost one could not be made up."""
    facts = {**facts, "seconds": round(run.seconds + seconds, 3)}
    if run.folder is not None and run.checkpoint is not None:
        append_log(run.folder / "log.csv", facts)
        state = {
            "fingerprint": run.fingerprint,
            "epochs_done": epochs_done,
            "seconds": run.seconds + seconds,
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        save_state(run.checkpoint, state)
    if run.progress:
        run.progress(epochs_done, run.total_epochs, facts)
