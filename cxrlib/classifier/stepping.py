"""One optimiser step: films picked on the device, augmented, normalised, classified, and learnt from.

On a GPU the whole step is recorded once as a CUDA graph and then replayed, since at batch 16 launching its kernels one
by one takes longer than running them. The first steps of a phase run in the ordinary way: they are what recording
needs as a warm-up, and they are real steps. Batches of another size and all of a CPU's steps run in the ordinary way.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrlib.classifier.network import PixelStatistics, as_pixels, augment, normalise, working_precision

WARM_UP_STEPS = 3


@dataclass
class Batch:
    """What one step needs: rows (B,) of films, angles (B,) in degrees, which are mirrored (B,), and a rate ()."""

    rows: Tensor
    angles: Tensor
    flipped: Tensor
    learning_rate: Tensor

    def copy_(self, other: "Batch") -> None:
        for name in ("rows", "angles", "flipped", "learning_rate"):
            getattr(self, name).copy_(getattr(other, name))


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
        record: bool | None = None,
    ) -> None:
        device = images.device
        self.network, self.images, self.labels, self.statistics = network, images, labels, statistics
        self.label_weights = None if label_weights is None else torch.tensor(label_weights, device=device)
        self.bfloat16 = working_precision(network, device) == torch.bfloat16
        self.records = device.type == "cuda" if record is None else record
        rate = torch.zeros((), device=device) if self.records else 0.0
        self.optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.999), fused=True, capturable=self.records)
        self._stream = torch.cuda.Stream(device) if self.records else None
        self._graph, self._batch, self._loss = None, None, None
        self._steps = 0

    def step(self, batch: Batch) -> Tensor:
        """Take one step; the mean loss of the batch, a tensor () on the device that the next step may overwrite."""
        if not self.records:
            return self._take(batch)
        if self._batch is not None and len(batch.rows) == len(self._batch.rows):
            self._batch.copy_(batch)
            self._graph.replay()
            return self._loss
        loss = self._beside(batch)
        self._steps += 1
        if self._graph is None and self._steps >= WARM_UP_STEPS:
            self._record(batch)
        return loss

    def _take(self, batch: Batch) -> Tensor:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].copy_(batch.learning_rate)
            else:
                group["lr"] = float(batch.learning_rate)
        films = augment(as_pixels(self.images[batch.rows]), batch.angles, batch.flipped)
        with torch.autocast(self.images.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            outputs = self.network(normalise(films, self.statistics))
        loss = cross_entropy(outputs.float(), self.labels[batch.rows], self.label_weights)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()

    def _beside(self, batch: Batch) -> Tensor:
        """An ordinary step on the stream of the recording, as its memory must not be that of the main stream."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._take(batch)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _record(self, batch: Batch) -> None:
        """Record the step for batches of this size; recording runs nothing."""
        self._batch = Batch(*(value.clone() for value in vars(batch).values()))
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._loss = self._take(self._batch)


def cross_entropy(outputs: Tensor, labels: Tensor, label_weights: Tensor | None) -> Tensor:
    """Mean over the batch of each film's cross-entropy times its label's weight.

    torch's own weighted mean divides by the sum of the batch's weights, and so gives the films of a batch without
    positives more weight than those beside one; this one is the weighted sum over the number of films, whose mean over
    batches is that over all films.
    """
    if label_weights is None:
        return F.cross_entropy(outputs, labels)
    return F.cross_entropy(outputs, labels, weight=label_weights, reduction="sum") / len(labels)
