"""Statistics of electron microscopy that a phantom is calibrated to: grey levels, membranes, texture, organelles.

Images are ``(rows, columns)`` in [0, 1], label maps of the same shape. The definitions are those that give, on the
tiles of the real dataset, the figures that ``tests/datasets/test_cells.py`` holds the phantom to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

HIGH_PASS = 3.0
"""Standard deviation in pixels of the Gaussian that a high-passed image has lost."""


def grey_level(images: Sequence[np.ndarray], regions: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean and standard deviation of the intensity in a region, each the mean over the images that have the region."""
    inside = [image[region] for image, region in zip(images, regions, strict=True) if region.any()]
    return float(np.mean([v.mean() for v in inside])), float(np.mean([v.std() for v in inside]))


def band_width(region: np.ndarray) -> float:
    """Mean width in pixels of a region made of thin bands: its area over half its perimeter (Crofton's estimate)."""
    steps = sum(np.count_nonzero(np.diff(region, axis=axis)) for axis in range(2))
    return float(region.sum() / (np.pi / 8 * steps))


def spectral_slope(images: Sequence[np.ndarray], low: int, high: int, bins: int = 12) -> float:
    """Slope of log power against log wavenumber between two wavenumbers, in cycles per image of square images.

    The periodogram is averaged over directions and images, then over ``bins`` logarithmic bands, so that no band
    counts more than another.
    """
    size = images[0].shape[0]
    wavenumber = np.rint(np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) * size] * 2))).astype(int).ravel()
    power = np.mean([np.abs(np.fft.fft2(image - image.mean())) ** 2 for image in images], axis=0).ravel()
    radial = np.bincount(wavenumber, power) / np.bincount(wavenumber)
    k = np.arange(low, high + 1)
    band = np.minimum(np.floor(bins * np.log(k / low) / np.log(high / low)), bins - 1).astype(int)
    x, y = (np.bincount(band, np.log(v))[np.bincount(band) > 0] for v in (k, radial[k]))
    counts = np.bincount(band)[np.bincount(band) > 0]
    return float(np.polyfit(x / counts, y / counts, 1)[0])


def high_pass(image: np.ndarray) -> np.ndarray:
    """Take the slow part out of an image."""
    return image - ndimage.gaussian_filter(image, HIGH_PASS)


def autocorrelation(image: np.ndarray, lags: Sequence[int] = (1, 2, 3)) -> np.ndarray:
    """Correlation of the high-passed image with itself ``lags`` pixels on, the mean over both axes."""
    texture = high_pass(image)
    pairs = [[(texture[lag:], texture[:-lag]), (texture[:, lag:], texture[:, :-lag])] for lag in lags]
    return np.array([np.mean([correlation(a, b) for a, b in both]) for both in pairs])


def texture_correlation(a: np.ndarray, b: np.ndarray, region: np.ndarray | None = None) -> float:
    """Correlation of two high-passed images, everywhere or within a region."""
    where = np.ones(a.shape, bool) if region is None else region
    return correlation(high_pass(a)[where], high_pass(b)[where])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two arrays of the same shape."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def without_counterpart(a: np.ndarray, b: np.ndarray, smallest: int = 100) -> tuple[int, int]:
    """Count the objects of mask ``a`` that share no pixel with mask ``b``, and all objects of ``a``.

    Objects are connected regions of at least ``smallest`` pixels that do not touch the border of the image.
    """
    objects, count = ndimage.label(a)
    size = np.bincount(objects.ravel(), minlength=count + 1)
    border = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    whole = np.setdiff1d(np.flatnonzero(size >= smallest), np.append(border, 0))
    matched = np.intersect1d(whole, objects[b])
    return len(whole) - len(matched), len(whole)
