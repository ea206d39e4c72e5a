"""Layers of the two networks, with equalised learning rate throughout (Karras et al. 2018, section 4.1).

Weights are float32; convolutions compute in their images' type.
"""

import math
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2)
MAPPING_LEARNING_RATE = 0.01


def pixel_norm(latents: Tensor) -> Tensor:
    """Scale each row of (N, D) to unit mean square (Karras et al. 2018, section 4.2)."""
    return latents * torch.rsqrt(latents.square().mean(1, keepdim=True) + 1e-8)


class EqualisedLinear(nn.Module):
    """Linear layer whose weights are kept at unit variance and scaled when used (Karras et al. 2018, section 4.1).

    `learning_rate` multiplies the step size of this layer's parameters without changing its output at the start.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, learning_rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / learning_rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / learning_rate))
        self.gain = learning_rate / math.sqrt(inputs)
        self.learning_rate = learning_rate

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight * self.gain, self.bias * self.learning_rate)


class MappingNetwork(nn.Module):
    """Latents (N, D) to styles (N, D)."""

    def __init__(self, latent_dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EqualisedLinear(latent_dim, latent_dim, learning_rate=MAPPING_LEARNING_RATE) for _ in range(layers)
        )

    def forward(self, latents: Tensor) -> Tensor:
        styles = pixel_norm(latents)
        for layer in self.layers:
            styles = functional.leaky_relu(layer(styles), SLOPE) * GAIN
        return styles


def modulated_convolution(images: Tensor, weight: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Convolve as if each sample had its own weights `weight · scales`; the demodulation is returned, not applied.

    `images` (N, C, H, W), `weight` (K, C, 3, 3), `scales` (N, C). Returns (N, K, H, W) and the factors (N, K) that
    bring the outputs to unit variance. Scaling the inputs before and the outputs after an ordinary convolution equals
    the grouped convolution of Karras et al. 2020, equations 1 and 3, and is faster.
    """
    demodulation = torch.rsqrt(scales.square() @ weight.square().sum((2, 3)).T + 1e-8)
    images = images * scales.to(images.dtype)[:, :, None, None]
    return convolve(images, weight), demodulation


def convolve(images: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution that keeps the size, in the images' type."""
    weight = weight.to(images.dtype).contiguous(memory_format=torch.channels_last)
    return functional.conv2d(images, weight, padding=1)


def doubled(images: Tensor) -> Tensor:
    """Twice the resolution, smoothed by [1, 3, 3, 1] both ways, which is bilinear (Karras et al. 2019, section 2)."""
    return functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


class Smoothing(torch.autograd.Function):
    """Convolution of every feature map with [1, 3, 3, 1] along rows and columns, or its adjoint, each the other's
    gradient. Torch's own has a gradient for the kernel too, and R1 would wait for it."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, padding: int, stride: int, adjoint: bool) -> Tensor:
        # At stride 1 the adjoint is the same filter, with the padding that brings the size back.
        ctx.of_gradient = (3 - padding, 1, False) if stride == 1 else (padding, stride, not adjoint)
        row = images.new_tensor([1 / 8, 3 / 8, 3 / 8, 1 / 8])
        channels = images.shape[1]
        kernel = torch.outer(row, row).expand(channels, 1, 4, 4)
        convolve = functional.conv_transpose2d if adjoint else functional.conv2d
        return convolve(images, kernel, stride=stride, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return Smoothing.apply(gradient, *ctx.of_gradient), None, None, None


def smoothed(images: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Smoothed by [1, 3, 3, 1] along rows and columns, with zeros around.

    The middle of an even filter lies between pixels: with `stride` 2 and padding 1, or padding 2 and a 3×3 convolution
    of stride 2 without padding, an output pixel lies in the middle of the four it stands for, as after averaging.
    """
    return Smoothing.apply(images, padding, stride, False)


class StyledConvolution(nn.Module):
    """Modulated 3×3 convolution, doubling of the resolution where asked, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, latent_dim: int, *, doubles: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.style = EqualisedLinear(latent_dim, inputs, bias=1.0)
        self.gain = 1 / math.sqrt(9 * inputs)
        self.doubles = doubles

    def forward(self, images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
        images, demodulation = modulated_convolution(images, self.weight * self.gain, self.style(styles))
        # Leaky ReLU is positively homogeneous, so its gain goes into factors that are small tensors.
        factors = (demodulation * GAIN).to(images.dtype)[:, :, None, None]
        bias = (self.bias * GAIN).to(images.dtype)[:, None, None]
        images = torch.addcmul(bias, images, factors)
        if self.doubles:
            images = doubled(images)
        images += (noise * (self.noise_strength * GAIN)).to(images.dtype)
        return functional.leaky_relu_(images, SLOPE)


def adaptive_normalisation(images: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
    """Give every feature map of every sample a mean of its `shifts` and a standard deviation of its `scales`, both
    (N, C) (Karras et al. 2019, equation 1). Means and deviations of `images` (N, C, H, W) are taken in float32."""
    variance, mean = torch.var_mean(images.float(), (2, 3), correction=0, keepdim=True)
    factors = torch.rsqrt(variance + 1e-8) * scales[:, :, None, None]
    offsets = shifts[:, :, None, None] - mean * factors
    return torch.addcmul(offsets.to(images.dtype), images, factors.to(images.dtype))


class AdaptiveConvolution(nn.Module):
    """3×3 convolution, doubling of the resolution where asked, noise per feature map, bias, leaky ReLU, and adaptive
    instance normalisation: after the layer of the original StyleGAN (Karras et al. 2019, figure 1b), which doubles
    before it convolves."""

    def __init__(self, inputs: int, outputs: int, latent_dim: int, *, doubles: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(outputs))
        self.scale = EqualisedLinear(latent_dim, outputs, bias=1.0)
        self.shift = EqualisedLinear(latent_dim, outputs)
        self.gain = 1 / math.sqrt(9 * inputs)
        self.doubles = doubles

    def forward(self, images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
        images = convolve(images, self.weight * self.gain)
        if self.doubles:
            images = doubled(images)
        strength = self.noise_strength.to(images.dtype)[:, None, None]
        images = torch.addcmul(images + self.bias.to(images.dtype)[:, None, None], noise.to(images.dtype), strength)
        return adaptive_normalisation(functional.leaky_relu_(images, SLOPE), self.scale(styles), self.shift(styles))


CONVOLUTIONS = {"demodulated": StyledConvolution, "adain": AdaptiveConvolution}


class FilmOutput(nn.Module):
    """1×1 convolution to one grey channel, computed in float32; `styled` scales its inputs, without demodulation."""

    def __init__(self, inputs: int, latent_dim: int, *, start: float, styled: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs) * start)
        self.bias = nn.Parameter(torch.zeros(()))
        self.style = EqualisedLinear(latent_dim, inputs, bias=1.0) if styled else None
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, images: Tensor, styles: Tensor) -> Tensor:
        weight = self.weight * self.gain
        weight = weight[None] if self.style is None else self.style(styles) * weight
        # Channels lie last in memory, and a sum over what lies last is several times faster than a product.
        pixels = images.permute(0, 2, 3, 1).float() * weight[:, None, None]
        return pixels.sum(3)[:, None] + self.bias


class Convolution(nn.Module):
    """Convolution with equalised learning rate; `activate` adds a bias and a leaky ReLU of gain √2, a `stride` of 2
    smooths before (Zhang 2019, "Making convolutional networks shift-invariant again").

    `scale` multiplies the output. Leaky ReLU is positively homogeneous, so it goes into the weights, as its gain does.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, activate: bool = True, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.output_gain = scale * (GAIN if activate else 1.0)
        self.gain = self.output_gain / math.sqrt(inputs * size * size)
        self.stride, self.padding = stride, 0 if stride > 1 else size // 2

    def forward(self, images: Tensor) -> Tensor:
        weight = (self.weight * self.gain).to(images.dtype).contiguous(memory_format=torch.channels_last)
        bias = None if self.bias is None else (self.bias * self.output_gain).to(images.dtype)
        if self.stride > 1:
            images = smoothed(images, padding=2)
        images = functional.conv2d(images, weight, bias, stride=self.stride, padding=self.padding)
        return images if bias is None else functional.leaky_relu_(images, SLOPE)
