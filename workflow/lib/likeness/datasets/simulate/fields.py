"""Common parts of simulated datasets: warps with a known field, bias fields, resampling and noise.

Lengths are in the unit of ``spacing`` unless stated otherwise. All randomness comes from the given generator, and torch
uses one thread, so that a seed gives the same bytes regardless of the number of cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from scipy import fft, ndimage

WIDE = 3.0
"""Width in voxels from which smoothing is faster in Fourier space, with equal results to five digits."""


def smooth_noise(
    shape: Sequence[int], sigma: Sequence[float] | np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Draw Gaussian-smoothed white noise, normalised to mean 0 and standard deviation 1 over the grid.

    The grid is periodic, so that the variance is the same at the border as inside.

    Args:
        shape: spatial shape.
        sigma: standard deviation of the Gaussian along each axis, in voxels.
        generator: random generator.

    Returns:
        ``(*shape)``, float64.
    """
    noise = generator.standard_normal(tuple(shape))
    if max(sigma) < WIDE:
        noise = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    else:
        spectrum = ndimage.fourier_gaussian(fft.rfftn(noise), sigma, n=shape[-1])
        noise = fft.irfftn(spectrum, s=tuple(shape))
    noise -= noise.mean()
    return noise / noise.std()


def random_warp(
    shape: Sequence[int],
    spacing: Sequence[float],
    scales: Sequence[float],
    amplitudes: Sequence[float],
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw a diffeomorphic displacement that mixes several spatial scales.

    Each scale is a stationary velocity field, Gaussian-smoothed white noise, integrated by scaling and squaring; the
    flows are composed from coarse to fine. The mean of each velocity is removed, as a preceding affine alignment would
    do.

    Args:
        shape: spatial shape of the grid.
        spacing: voxel size along each axis.
        scales: standard deviation of each Gaussian, in the unit of ``spacing``.
        amplitudes: root mean square length of each velocity, in the unit of ``spacing``. The flow stays invertible on
            the grid if the amplitude is well below the scale.
        generator: random generator.

    Returns:
        ``(*shape, dims)``, float32, in voxels: ``warped(x) = image(x + u(x))``.

    Raises:
        ValueError: if the numbers of amplitudes and scales differ.
    """
    if len(scales) != len(amplitudes):
        msg = f"random_warp: {len(scales)} scales but {len(amplitudes)} amplitudes: give one amplitude per scale"
        raise ValueError(msg)
    from likeness.geometry import compose, integrate, to_array, to_tensor

    step = np.asarray(spacing, dtype=float)
    total = to_tensor(np.zeros((*shape, len(shape))))
    with one_thread():
        for scale, amplitude in sorted(zip(scales, amplitudes, strict=True), reverse=True):
            noise = np.stack([smooth_noise(shape, scale / step, generator) for _ in shape], axis=-1)
            velocity = noise * (amplitude / np.sqrt(len(shape))) / step
            total = compose(total, integrate(to_tensor(velocity), squarings(velocity)))
    return to_array(total)


def squarings(velocity: np.ndarray) -> int:
    """Return the number of squaring steps for a velocity ``(*spatial, dims)`` in voxels.

    The first step is at most 1/4 voxel long, which preserves the order of neighbouring voxels for any velocity.
    """
    longest = float(np.linalg.norm(velocity, axis=-1).max())
    return max(1, math.ceil(math.log2(4 * max(longest, 1 / 4))))


def pull(image: np.ndarray, displacement: np.ndarray, factor: int = 1, *, nearest: bool = False) -> np.ndarray:
    """Warp images that may be finer than the displacement's grid: ``result(x) = image(x + u(x))``.

    Args:
        image: ``(channels, *fine)`` with ``fine = factor * spatial``.
        displacement: ``(*spatial, dims)`` in voxels of the coarser grid.
        factor: ratio of the two resolutions along each axis.
        nearest: use nearest-neighbour instead of linear interpolation, for labels.

    Returns:
        ``(channels, *spatial)``, float32.
    """
    import torch

    from likeness.geometry import identity_grid, sample, to_tensor

    where = to_tensor(displacement)
    where = (identity_grid(where) + where) * factor + (factor - 1) / 2
    with one_thread():
        source = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
        return sample(source, where, "nearest" if nearest else "linear")[0].numpy()


def bias_field(
    shape: Sequence[int], spacing: Sequence[float], generator: np.random.Generator, scale: float, strength: float
) -> np.ndarray:
    """Draw a smooth multiplicative bias field, ``(*shape)``; ``strength`` is the standard deviation of its log."""
    noise = smooth_noise(shape, scale / np.asarray(spacing, dtype=float), generator)
    return np.exp(strength * noise)


def rician(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Return the magnitude of an image with complex Gaussian noise of standard deviation ``sigma`` per channel."""
    real, imaginary = generator.normal(0.0, sigma, (2, *image.shape))
    return np.hypot(image + real, imaginary)


def block_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of ``factor`` voxels along every axis; every axis must be a multiple of ``factor``."""
    blocks = [n for size in image.shape for n in (size // factor, factor)]
    return image.reshape(blocks).mean(axis=tuple(range(1, 2 * image.ndim, 2)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, so that floating-point sums do not depend on the number of cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
