"""What every simulated dataset shares: warps with a known field, bias, change of contrast and noise.

Lengths are in the unit of ``spacing`` unless said otherwise. All randomness comes from the generator given, and torch
computes on one thread, so that a seed gives the same bytes whatever the number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from scipy import ndimage


def smooth_noise(
    shape: Sequence[int], sigma: Sequence[float] | np.ndarray, generator: np.random.Generator, mode: str = "wrap"
) -> np.ndarray:
    """Draw Gaussian noise smoothed by a Gaussian, of mean 0 and standard deviation 1 over the grid.

    Args:
        shape: the spatial shape.
        sigma: standard deviation of the Gaussian along each axis, in voxels.
        generator: the source of randomness.
        mode: how the grid ends; ``"wrap"`` makes the noise as variable at the border as inside.

    Returns:
        ``(*shape)``, float64.
    """
    noise = ndimage.gaussian_filter(generator.standard_normal(tuple(shape)), sigma, mode=mode)
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

    Each scale is a stationary velocity field, white noise smoothed by a Gaussian, integrated by scaling and squaring;
    the flows are composed from coarse to fine. The mean is taken out of each velocity, as an alignment that precedes
    registration would have done.

    Args:
        shape: the spatial shape of the grid.
        spacing: size of a voxel along each axis.
        scales: standard deviation of each Gaussian, in the unit of ``spacing``.
        amplitudes: root mean square length of each velocity, in the unit of ``spacing``. The flow stays invertible on
            the grid as long as an amplitude is well below its scale.
        generator: the source of randomness.

    Returns:
        ``(*shape, dims)``, float32, in voxels: ``warped(x) = image(x + u(x))``.

    Raises:
        ValueError: if there are not as many amplitudes as scales.
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
            total = compose(total, integrate(to_tensor(velocity)))
    return to_array(total)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread inside the block, so that sums do not depend on the number of cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
