"""Soft Dice of class probabilities, shared by the control losses on labels."""

from __future__ import annotations

from torch import Tensor

from likeness.losses._arithmetic import check_images, full_precision

SMALLEST = 1e-3
"""Added to numerator and denominator, in voxels, so that classes absent from both images count as agreement."""


@full_precision
def soft_dice_dissimilarity(moved: Tensor, fixed: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of each pair, averaged over classes.

    Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79, with squares in the denominator.

    Args:
        moved: probabilities or one-hot labels ``(batch, classes, *spatial)``.
        fixed: of the same shape.

    Returns:
        ``(batch,)`` in [0, 1]; 0 for identical one-hot labels.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("soft_dice_dissimilarity", moved, fixed)
    axes = tuple(range(2, moved.dim()))
    shared = (moved * fixed).sum(axes)
    total = moved.square().sum(axes) + fixed.square().sum(axes)
    return 1 - ((2 * shared + SMALLEST) / (total + SMALLEST)).mean(1)
