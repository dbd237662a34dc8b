"""Twins of an extractor, as controls: the same network with shuffled weights, or with those from before any training.

Shuffled weights have the same distribution in every layer, and no structure: Frankle et al., The early phase of neural
network training, ICLR 2020, arXiv:2002.10365. What a loss owes to what its extractor has learnt, it owes neither to the
architecture nor to the size of the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from likeness.training.randomness import generator, seed_of

STREAM = 6
"""Key of the random stream for twins."""
IMAGES = {2: (8, 1, 64, 64), 3: (2, 1, 32, 32, 32)}
"""Shape of the images from which batch norm takes its statistics, by number of dimensions."""


def shuffle(network: nn.Module, seed: int) -> None:
    """Permute the entries of every parameter of an extractor at random, in place.

    Vectors of one module and of equal length, such as scale and shift of a norm, are permuted alike, so that they stay
    those of one channel. Batch norm is adapted by :func:`standardise`.
    """
    source = generator("cpu", seed, STREAM)
    with torch.no_grad():
        for module in network.modules():
            alike: dict[int, Tensor] = {}
            for parameter in module.parameters(recurse=False):
                order = torch.randperm(parameter.numel(), generator=source)
                if parameter.dim() == 1:
                    order = alike.setdefault(len(parameter), order)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    standardise(network, seed)


def reset(network: nn.Module, seed: int, build: Callable[[], nn.Module]) -> None:
    """Replace the parameters of an extractor by initial ones, in place.

    What is no parameter stays, such as the embedding of a prompt. Batch norm is adapted by :func:`standardise`.

    Args:
        network: extractor.
        seed: of the initial parameters.
        build: function that builds the same network with random parameters.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed_of(seed, STREAM))
        for own, initial in zip(network.parameters(), build().parameters(), strict=True):
            own.copy_(initial)
    standardise(network, seed)


def standardise(network: nn.Module, seed: int) -> None:
    """Take the statistics of batch norm anew, layer by layer, in place; networks without it stay as they are.

    Batch norm standardises by the mean and variance that its inputs had in training. Those of other weights differ:
    with the trained ones, features of a shuffled EfficientNet are four times as large as those of the trained network;
    with new ones, for images of :func:`noise`, they are as large.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    dims = 2 if any(isinstance(module, nn.Conv2d) for module in network.modules()) else 3
    training, momenta = network.training, [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        # the statistics are those of the images, without the initial ones
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network(noise(dims, seed))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def noise(dims: int, seed: int) -> Tensor:
    """Draw images of Gaussian noise with the spectrum of natural images: equal power in every octave.

    Field, Relations between the statistics of natural images and the response properties of cortical cells, JOSA A
    1987, doi:10.1364/JOSAA.4.002379.

    Returns:
        ``(batch, 1, *spatial)`` in [0, 1], with mean .5 and standard deviation .2 before clamping.
    """
    shape = IMAGES[dims]
    axes = tuple(range(2, 2 + dims))
    white = torch.randn(shape, generator=generator("cpu", seed, STREAM, 1))
    along = torch.meshgrid(*map(torch.fft.fftfreq, shape[2:]), indexing="ij")
    frequency = torch.stack(along).square().sum(0).sqrt()
    amplitude = torch.where(frequency > 0, frequency, torch.inf) ** (-dims / 2)
    pink = torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * amplitude, dim=axes).real
    return (0.5 + 0.2 * pink / pink.std(axes, keepdim=True)).clamp(0, 1)
