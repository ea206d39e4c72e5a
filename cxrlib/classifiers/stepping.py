"""One optimiser step: films picked on the device, augmented, normalised, classified, and learnt from.

On a GPU the whole step is recorded once as a CUDA graph and then replayed, since at batch 16 launching its kernels one
by one takes longer than running them. The first steps of a phase run in the ordinary way: they are what recording
needs as a warm-up, and they are real steps. Batches of another size and all of a CPU's steps run in the ordinary way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrlib.classifiers.network import PixelStatistics, as_pixels, augment, normalise, working_precision

WARM_UP_STEPS = 3


@dataclass
class Batch:
    """What one step needs: rows (B,) of films, angles (B,) in degrees, which are mirrored (B,), and a rate ()."""

    rows: Tensor
    angles: Tensor
    flipped: Tensor
    learning_rate: Tensor

    def copy_(self, other: "Batch") -> None:
        """Write another batch of the same size into these tensors."""
        for name, value in vars(self).items():
            value.copy_(getattr(other, name))

    def clone(self) -> "Batch":
        return Batch(*(value.clone() for value in vars(self).values()))


class Stepper:
    """Takes the steps of one phase. Films (M, S, S) uint8 and labels (M,) stay where they are, on the device."""

    def __init__(
        self,
        network: nn.Module,
        parameters: list[nn.Parameter],
        images: Tensor,
        labels: Tensor,
        statistics: PixelStatistics,
        label_weights: tuple[float, float] | None = None,
    ) -> None:
        self.network, self.images, self.labels, self.statistics = network, images, labels, statistics
        self.label_weights = None if label_weights is None else torch.tensor(label_weights, device=images.device)
        self.bfloat16 = working_precision(network, images.device) == torch.bfloat16
        self.optimiser = self.make_optimiser(parameters)

    def make_optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, betas=(0.9, 0.999), fused=True)

    def set_learning_rate(self, rate: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)

    def step(self, batch: Batch) -> Tensor:
        """Take one step; the mean loss of the batch, a tensor () on the device that the next step may overwrite."""
        self.set_learning_rate(batch.learning_rate)
        films = self.films_of(batch)
        with torch.autocast(films.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            outputs = self.network(films)
        loss = cross_entropy(outputs.float(), self.labels[batch.rows], self.label_weights)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()

    def films_of(self, batch: Batch) -> Tensor:
        """The batch's films, augmented and normalised, float (B, 1, S, S)."""
        films = augment(as_pixels(self.images[batch.rows]), batch.angles, batch.flipped)
        return normalise(films, self.statistics)


class RecordedStepper(Stepper):
    """The same steps on a GPU: the first few in the ordinary way, the others replayed from a recording."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps: int = 0
        self._recorded: Recording | None = None
        self._stream: Any = None

    def make_optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Adam:
        # The recording holds addresses, not numbers: the rate has to be a tensor that is written to before each replay.
        rate = torch.zeros((), device=self.images.device)
        return torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.999), fused=True, capturable=True)

    def set_learning_rate(self, rate: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"].copy_(rate)

    def step(self, batch: Batch) -> Tensor:
        if self._recorded is not None and len(batch.rows) == len(self._recorded.batch.rows):
            self._recorded.batch.copy_(batch)
            self._recorded.replay()
            return self._recorded.loss
        loss = self.warm_up(batch)
        self._steps += 1
        if self._recorded is None and self._steps >= WARM_UP_STEPS:
            self._recorded = self.record(batch.clone())
        return loss

    def warm_up(self, batch: Batch) -> Tensor:
        """An ordinary step beside the main stream, as a recording demands of what comes before it."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.images.device)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = super().step(batch)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def record(self, batch: Batch) -> "Recording":
        """Record a step on these tensors, which every replay reads anew; recording runs nothing."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            loss = super().step(batch)
        return Recording(batch, loss, graph.replay)


@dataclass
class Recording:
    """A recorded step: the tensors it reads, the loss () it writes, and what runs it."""

    batch: Batch
    loss: Tensor
    replay: Callable[[], None]


def make_stepper(network: nn.Module, parameters: list[nn.Parameter], images: Tensor, *rest: Any) -> Stepper:
    """The stepper for the device that the films are on."""
    kind = RecordedStepper if images.device.type == "cuda" else Stepper
    return kind(network, parameters, images, *rest)


def cross_entropy(outputs: Tensor, labels: Tensor, label_weights: Tensor | None) -> Tensor:
    """Mean over the batch of each film's cross-entropy times its label's weight.

    torch's own weighted mean divides by the sum of the batch's weights, and so gives the films of a batch without
    positives more weight than those beside one; this one is the weighted sum over the number of films, whose mean over
    batches is that over all films.
    """
    if label_weights is None:
        return F.cross_entropy(outputs, labels)
    return F.cross_entropy(outputs, labels, weight=label_weights, reduction="sum") / len(labels)
