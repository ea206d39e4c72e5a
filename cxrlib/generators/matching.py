"""What trained eyes tell a generator: on average, its films should have the features of real ones.

Salimans et al. 2016, "Improved techniques for training GANs", section 3.1, match the means of features between
batches; here the features are of a network trained on photographs and the generated mean is a moving average, as in
Santos et al. 2019, "Learning implicit generative models by matching perceptual features", section 3.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrlib.features import bring_to, build_network
from cxrlib.generators.priors import FITTED_FILMS
from cxrlib.networks import NETWORKS, TEACHER

if TYPE_CHECKING:
    from cxrlib.generators.processes import Processes

SIDE = 128
HALF_LIFE_FILMS = 1000
FILMS_AT_A_TIME = 16
# Of the mean spread of features: none counts as if it never changed from film to film.
LEAST_SPREAD = 0.1


class FeatureMatching:
    """Compares generated films with uint8 films (N, R, R) by the mean of a trained network's penultimate features.

    Network, real mean and spread stay as they are. `average` (D,) is the moving mean of the generated films' features,
    changed in place, since it belongs in a checkpoint.
    """

    def __init__(self, films: Tensor, average: Tensor, processes: "Processes") -> None:
        self.average, self.processes = average, processes
        self.network = _without_normalisation(build_network(TEACHER, "imagenet", 1).eval()).to(films.device)
        chosen = films[torch.linspace(0, len(films) - 1, min(len(films), FITTED_FILMS)).long()]
        with torch.no_grad():
            parts = [self.features(part.unsqueeze(1) / 127.5 - 1) for part in chosen.split(FILMS_AT_A_TIME)]
        features = torch.cat(parts)
        self.mean, spread = features.mean(0), features.std(0)
        self.spread = spread + LEAST_SPREAD * spread.mean()

    def features(self, films: Tensor) -> Tensor:
        """Of films (N, 1, R, R) in [-1, 1]: (N, D)."""
        entry = NETWORKS[TEACHER]
        inputs = ((bring_to(films, SIDE) + 1) / 2 - entry.mean) / entry.std
        return self.network(inputs.contiguous(memory_format=torch.channels_last)).mean((2, 3))

    def loss(self, generated: Tensor, earlier_batches: int) -> Tensor:
        """A scalar whose gradient moves the mean features of generated films (N, 1, R, R) towards the real ones.

        It is that of half the mean squared distance between both means, in units of the features' spread among real
        films, with the moving average in place of this batch's mean. That is the mean of all batches until it has a
        half-life of `HALF_LIFE_FILMS`.
        """
        batch = self.features(generated).mean(0)
        films = len(generated) * self.processes.share.parts
        kept = min(0.5 ** (films / HALF_LIFE_FILMS), earlier_batches / (earlier_batches + 1))
        self.average.lerp_(self.processes.mean(batch.detach()), 1 - kept)
        return ((self.average - self.mean) / self.spread.square() * batch).mean()


def _without_normalisation(network: nn.Module) -> nn.Module:
    """The convolutional part of a network in evaluation mode, its batch normalisation put into the convolutions."""
    for unit in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        match list(unit)[:2]:
            case [nn.Conv2d() as convolution, nn.BatchNorm2d() as normalisation]:
                unit[0], unit[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    return network.get_submodule("features").requires_grad_(False).to(memory_format=torch.channels_last)
