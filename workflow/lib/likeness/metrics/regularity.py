"""Regularity of a displacement: folding and volume change.

Masks are ``(*spatial)``, bool, on the fixed grid; the value over an empty mask is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from likeness.geometry import determinant, jacobian_determinant, to_tensor

FLOOR = 0.01
"""Lower bound on Jacobian determinants before their logarithm is taken."""


def jacobian(displacement: np.ndarray) -> np.ndarray:
    """Jacobian determinant of ``x + u(x)`` by central differences, ``(*spatial)``; see :mod:`likeness.geometry`."""
    return jacobian_determinant(to_tensor(displacement))[0, 0].numpy().astype(np.float64)


def folding(determinants: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Fraction of voxels with a non-positive Jacobian determinant, in percent, from determinants ``(*spatial)``."""
    return 100 * _mean(determinants <= 0, mask)


def sdlogj(determinants: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Standard deviation of log max(J, 0.01) over the mask, from determinants ``(*spatial)``.

    Due to the lower bound and the fixed mask it increases with folding, whereas a value over J > 0 only would saturate.
    """
    chosen = determinants if mask is None else determinants[mask]
    return float(np.log(np.maximum(chosen, FLOOR)).std()) if chosen.size else float("nan")


def abslogj(determinants: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of |log max(J, 0.01)| over the mask, from determinants ``(*spatial)``: the mean relative volume change."""
    return _mean(np.abs(np.log(np.maximum(determinants, FLOOR))), mask)


def l2r_sdlogj(determinants: np.ndarray) -> float:
    """Learn2Reg's smoothness: standard deviation of log(J + 3), with 2 voxels cropped on each side.

    For comparison with published values (Hering et al., IEEE TMI 2022, doi:10.48550/arXiv.2112.04489); the offset of 3
    hides folding. NaN for an image with fewer than 5 voxels along an axis.
    """
    inner = determinants[(slice(2, -2),) * determinants.ndim]
    return float(np.log(np.clip(inner + 3, 1e-9, 1e9)).std()) if inner.size else float("nan")


def bending(displacement: np.ndarray, spacing: Sequence[float], mask: np.ndarray | None = None) -> float:
    """Mean bending energy: the squared second derivatives of the displacement, mixed ones twice, over its components.

    Rueckert et al., IEEE Trans. Med. Imaging 1999, doi:10.1109/42.796284. Derivatives are central differences, so that
    the outermost voxels have none and do not count. As a regulariser see :func:`likeness.geometry.bending_energy`.

    Args:
        displacement: ``(*spatial, dims)``, voxels.
        spacing: voxel size along each axis; the energy is in the inverse square of its unit.
        mask: where the mean is taken.
    """
    dims = displacement.shape[-1]
    physical = displacement.astype(np.float64) * np.asarray(spacing, float)
    inner = (slice(1, -1),) * dims
    energy = np.zeros([max(length - 2, 0) for length in displacement.shape[:-1]])
    for a, b in combinations_with_replacement(range(dims), 2):
        along, across = np.eye(dims, dtype=int)[[a, b]]
        if a == b:
            terms = [(1.0, along), (-2.0, 0 * along), (1.0, -along)]
        else:
            terms = [(i * j / 4, i * along + j * across) for i, j in product((1, -1), repeat=2)]
        second = sum(weight * physical[_shifted(step, displacement.shape)] for weight, step in terms)
        energy += (1 if a == b else 2) * (second**2).mean(-1) / (spacing[a] * spacing[b]) ** 2
    return _mean(energy, None if mask is None else mask[inner])


def _shifted(step: np.ndarray, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of an array's voxels at an offset of at most 1 from each but the outermost."""
    return tuple(slice(1 + s, length - 1 + s) for s, length in zip(step, shape, strict=False))


def non_diffeomorphic(displacement: np.ndarray) -> np.ndarray:
    """Volume (area in 2D) around each voxel that the digital transformation inverts.

    Liu et al., On Finite Difference Jacobian Computation in Deformable Image Registration, IJCV 2024,
    doi:10.48550/arXiv.2212.06060. The neighbourhood of a voxel is split into simplices; all inverted ones count,
    including those that central differences miss. The displacement is replicated at the border.

    Args:
        displacement: ``(*spatial, dims)``, voxels.

    Returns:
        ``(*spatial)``, non-negative, in voxels.
    """
    dims = displacement.shape[-1]
    padded = F.pad(to_tensor(displacement), [1, 1] * dims, mode="replicate")[0]
    volume = sum((-j).clamp(min=0) for j in _simplices(padded, dims))
    assert isinstance(volume, Tensor)
    return (volume / (2 * (6 if dims == 3 else 2))).numpy().astype(np.float64)


def _simplices(padded: Tensor, dims: int) -> list[Tensor]:
    """Determinants of the simplices around each voxel, from a displacement ``(dims, *spatial)`` padded by 1."""
    here = _neighbour(padded, [0] * dims)
    unit = torch.eye(dims).view(dims, dims, *[1] * dims)

    def edge(*axes: int, sign: int) -> Tensor:
        """Return the vector between a voxel's and its neighbour's positions after displacement, one step along axes."""
        step = [sign if axis in axes else 0 for axis in range(dims)]
        return _neighbour(padded, step) - here + sign * sum(unit[axis] for axis in axes)

    one_sided = [{sign: edge(axis, sign=sign) * sign for sign in (1, -1)} for axis in range(dims)]
    rows = [[one_sided[axis][sign] for axis, sign in enumerate(signs)] for signs in product((1, -1), repeat=dims)]
    if dims == 3:
        rows += [[edge(*axes, sign=-1) for axes in ((0, 1), (0, 2), (1, 2))]]
        rows += [[edge(*axes, sign=1) for axes in ((0, 1), (1, 2), (0, 2))]]
    return [determinant([list(vector) for vector in row]) for row in rows]


def _neighbour(padded: Tensor, step: list[int]) -> Tensor:
    """Return the values of the neighbour at an offset, for each voxel of the unpadded grid."""
    return padded[(slice(None), *(slice(1 + s, n - 1 + s) for s, n in zip(step, padded.shape[1:], strict=True)))]


def non_diffeomorphic_share(displacement: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Non-diffeomorphic volume (3D, NDV) or area (2D, NDA) in percent of the voxels of the mask or image."""
    return 100 * _mean(non_diffeomorphic(displacement), mask)


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    chosen = values if mask is None else values[mask]
    return float(chosen.mean()) if chosen.size else float("nan")
