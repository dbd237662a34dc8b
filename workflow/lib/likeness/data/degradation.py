"""Degradation of test images, to see how robust losses are: contrast, bias field, blur and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

SMOOTH = 1 / 4
"""Standard deviation of the Gaussian that smooths a bias field, as a fraction of the longest side of the image."""
MOVING = "~moving"
"""Suffix of the id of an image that is degraded as a moving image only; no id of a dataset contains ``~``."""


@dataclass(frozen=True)
class Degradation:
    """How images with intensities in [0, 1] are degraded; the defaults change nothing.

    As Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
    doi:10.1016/j.media.2023.102830, blur and noise both images of a pair. A change of contrast is one between both, so
    invert, gamma and bias are of the moving image.

    Attributes:
        noise: standard deviation of Gaussian noise.
        blur: standard deviation of a Gaussian, as a multiple of the smallest spacing.
        invert: whether intensities x become 1 - x.
        gamma: exponent of intensities.
        bias: standard deviation of the logarithm of a smooth field that intensities are multiplied by, whose maximum is
            1.
    """

    noise: float = 0.0
    blur: float = 0.0
    invert: bool = False
    gamma: float = 1.0
    bias: float = 0.0

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Degradation:
        """Create one from the plain types of the configuration."""
        return cls(**plain)

    @property
    def alike(self) -> Degradation:
        """What both images of a pair share."""
        return replace(self, invert=False, gamma=1.0, bias=0.0)

    def apply(self, image: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
        """Degrade one image: contrast, bias field, blur, noise, in this order.

        Args:
            image: ``(*spatial)``, float32 in [0, 1].
            spacing: voxel size along each axis.
            generator: random generator; the same one gives the same patterns at every level.

        Returns:
            ``(*spatial)``, float32 in [0, 1].
        """
        size = np.asarray(spacing, dtype=float)
        pattern, noise = generator.spawn(2)
        found = (1 - image if self.invert else image).astype(float) ** self.gamma
        if self.bias:
            sigma = SMOOTH * max(np.asarray(image.shape) * size) / size
            field = gaussian_filter(pattern.standard_normal(image.shape), sigma, mode="wrap")
            field = np.exp(self.bias * field / field.std())
            found *= field / field.max()
        if self.blur:
            found = gaussian_filter(found, self.blur * size.min() / size, mode="nearest")
        if self.noise:
            found += self.noise * noise.standard_normal(image.shape)
        return found.clip(0, 1).astype(np.float32)
