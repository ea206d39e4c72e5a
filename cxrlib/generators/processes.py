"""The processes that train one generator together. `torchrun` starts them, Lightning Fabric joins them.

    torchrun --nproc-per-node 2 -m cxrlib.cli train-gan demo --label positive

Every process draws random numbers for the whole batch and takes its share of the films; gradients are averaged before
each optimiser step, so that the networks stay equal. They are averaged once per step and not by a wrapper around the
networks, because a step runs several backward passes, some of them twice through the same network.
"""

import functools
import os
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from cxrlib.errors import InputError
from cxrlib.generators.diffaugment import Share
from cxrlib.reproducibility import pick_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GROUP_FILMS = 4


class Processes:
    """All processes of this training; without `fabric`, this one alone."""

    def __init__(self, fabric: "Fabric | None" = None) -> None:
        self.fabric = fabric
        self.device = pick_device() if fabric is None else fabric.device
        self.share = Share() if fabric is None else Share(fabric.global_rank, fabric.world_size)

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.share.index == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean of this tensor over all processes."""
        return value if self.fabric is None else cast(Tensor, self.fabric.all_reduce(value, reduce_op="mean"))

    def average_gradients(self, network: nn.Module) -> None:
        """Give every process the mean of all processes' gradients."""
        if self.fabric is None:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        averaged = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = averaged.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.fabric is not None:
            self.fabric.barrier()

    def check_batch(self, films: int) -> None:
        """Raises `InputError` unless each of several processes gets whole groups of the discriminator's minibatch
        deviation, the same groups that one process would make."""
        if self.share.parts > 1 and films % (GROUP_FILMS * self.share.parts):
            raise InputError(
                f"gan.batch_size: found {films} for {self.share.parts} processes; expected a multiple of "
                f"{GROUP_FILMS * self.share.parts}, so that each has whole groups of {GROUP_FILMS} films"
            )


@functools.cache
def join_processes() -> Processes:
    """The processes that `torchrun` started together with this one; without it, this one alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Processes()
    from lightning_fabric import Fabric

    local = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu", strategy="ddp", devices=local,
        num_nodes=int(os.environ["WORLD_SIZE"]) // local,
    )  # fmt: skip
    fabric.launch()
    return Processes(fabric)
