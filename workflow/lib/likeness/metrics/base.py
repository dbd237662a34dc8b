"""Interface of metrics, the keys of their cards, and the shared quantities of a registered pair.

The card is a dictionary literal ``CARD`` at the top of the module. Required keys:

===========  ===========================================================================================================
title        full display name in figures and tables
unit         ``1``, ``%``, or ``distance`` for the dataset's unit of length, also within, as in ``1/distance²``
range        ``[lowest, highest]`` value, ``None`` if unbounded
doi          DOI of the paper that defines the metric; ``None`` if there is none
===========  ===========================================================================================================

Optional keys:

===========  ===========================================================================================================
order        rank in tables; by default last
short        short display name; by default the title
better       ``lower`` or ``higher``; omitted for descriptive quantities such as roughness
per          ``label`` for one value per scored label, which tables average, or ``instance`` for a mean over instances;
by
             default one value for the whole image
dimensions   spatial dimensions in which it is defined; by default 2 and 3
needs        parts that both images must have, of ``field``, ``label``, ``landmarks``, ``instances``, ``mask`` and
             ``unmatched``; pairs without them have no value. A metric without needs depends on the displacement only
rank         order of preference among the metrics that can represent a dataset, best first: figures show the first that
             a dataset has, and below it the second
primary      true if λ can be chosen by it; requires ``rank``, ``better`` and ``needs``
smallest     smallest relevant difference; by default 2 % of the value. Stated where 0 is a good value, of which 2 % is
             nothing, and where all values are alike in size, unlike distances
costly       true if it is slow and therefore only computed for test pairs at the chosen λ
===========  ===========================================================================================================

The function ``score(registered)`` takes a :class:`Registered` and returns a number, NaN if undefined; for ``per`` label
a number for each label id; or ``None`` if the pair lacks something that ``needs`` cannot express, such as a common
space. Shared inputs are attributes of :class:`Registered`, computed once on first access.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from likeness.geometry import warp_labels
from likeness.metrics import endpoint, overlap, regularity

T = TypeVar("T")
Value = float | Mapping[int, float]
"""Result of a metric: a number, or one per label id."""
OUTSIDE = -1
"""Label of positions outside the moving image; not 0, which may be a structure."""


class Image(Protocol):
    """Parts of an image used by metrics, such as a :class:`likeness.data.store.Sample`; missing parts are ``None``."""

    @property
    def image(self) -> np.ndarray:
        """Intensities, ``(*spatial)``."""

    @property
    def label(self) -> np.ndarray | None:
        """Label ids, ``(*spatial)``."""

    @property
    def instances(self) -> np.ndarray | None:
        """Instance ids, ``(*spatial)``; 0 is background."""

    @property
    def mask(self) -> np.ndarray | None:
        """Foreground, ``(*spatial)``, bool."""

    @property
    def unmatched(self) -> np.ndarray | None:
        """Content that the other image of the pair does not have, ``(*spatial)``, bool."""

    @property
    def field(self) -> np.ndarray | None:
        """The true displacement into a common space, ``(*spatial, dims)``, voxels."""

    @property
    def landmarks(self) -> np.ndarray | None:
        """Corresponding points, ``(points, dims)``, voxel coordinates."""


@dataclass(frozen=True)
class Truth:
    """The true displacement of a pair, ``(*spatial, dims)`` in voxels, and its domain, ``(*spatial)``, bool."""

    displacement: np.ndarray
    counterpart: np.ndarray
    """Voxels of the fixed image whose content the moving image has, too."""


@dataclass
class Pair:
    """A pair of images and quantities that do not depend on a displacement, computed once on first access."""

    moving: Image
    fixed: Image
    spacing: tuple[float, ...]
    """Voxel size along each axis, in :attr:`unit`."""
    unit: str
    labels: Sequence[int]
    """Ids of the scored labels."""
    held_out: Sequence[int]
    """Scored labels on which the extractor ``segmentation_half`` is not trained."""
    related: bool
    """Whether the true fields of both images lead to the same space."""
    _store: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def at(self, displacement: np.ndarray, reverse: np.ndarray | None = None) -> Registered:
        """Return the pair at a finite displacement.

        Args:
            displacement: ``(*spatial, dims)`` in voxels of the fixed grid.
            reverse: displacement of the same images with their roles exchanged, if they were registered so, too.
        """
        return Registered(self, displacement, reverse)

    def has(self, parts: Iterable[str]) -> bool:
        """Return whether both images have all given parts."""
        return all(getattr(image, part) is not None for part in parts for image in (self.moving, self.fixed))

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute a quantity that does not depend on the displacement, and cache it for this pair."""
        if key not in self._store:
            self._store[key] = compute()
        return self._store[key]

    @cached_property
    def truth(self) -> Truth | None:
        """The true displacement; ``None`` if the pair has none."""
        if self.moving.field is None or self.fixed.field is None or not self.related:
            return None
        displacement, counterpart = endpoint.true_displacement(self.moving.field, self.fixed.field)
        if self.fixed.mask is not None:
            counterpart &= self.fixed.mask
        if self.moving.mask is not None:
            counterpart &= warp_labels(self.moving.mask, displacement)
        for unmatched in (self.fixed.unmatched, self._moved_unmatched(displacement)):
            if unmatched is not None:
                counterpart &= ~unmatched
        return Truth(displacement, counterpart)

    def _moved_unmatched(self, displacement: np.ndarray) -> np.ndarray | None:
        return None if self.moving.unmatched is None else warp_labels(self.moving.unmatched, displacement)

    @cached_property
    def unmatched(self) -> np.ndarray | None:
        """Content that one of the images lacks, ``(*spatial)``, bool; ``None`` if the pair has no mask of it.

        That of the moving image is warped to the fixed grid by the true displacement, and ignored without one.
        """
        moved = None if self.truth is None else self._moved_unmatched(self.truth.displacement)
        masks = [m for m in (self.fixed.unmatched, moved) if m is not None]
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def textured(self) -> np.ndarray:
        """Voxels with a counterpart where the fixed image has texture, ``(*spatial)``, bool; requires a truth."""
        return endpoint.textured(self.fixed.image, given(self.truth).counterpart)

    @cached_property
    def common(self) -> np.ndarray:
        """Whether both images have a scored label before warping, ``(labels)``, bool; requires label maps."""
        return overlap.common(given(self.fixed.label), given(self.moving.label), self.labels)


class Registered:
    """A pair at one displacement; derived quantities are computed once on first access."""

    def __init__(self, pair: Pair, displacement: np.ndarray, reverse: np.ndarray | None = None) -> None:
        self.pair = pair
        self.displacement = displacement
        self.reverse = reverse
        self._store: dict[Hashable, Any] = {}

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute a quantity that several metrics use, and cache it for this displacement."""
        if key not in self._store:
            self._store[key] = compute()
        return self._store[key]

    @cached_property
    def determinants(self) -> np.ndarray:
        """The Jacobian determinant of ``x + u(x)``, ``(*spatial)``, by central differences."""
        return regularity.jacobian(self.displacement)

    @cached_property
    def moved_label(self) -> np.ndarray:
        """The moving label map warped to the fixed grid, ``(*spatial)``; :data:`OUTSIDE` outside the moving image."""
        return warp_labels(given(self.pair.moving.label), self.displacement, OUTSIDE)

    @cached_property
    def moved_instances(self) -> np.ndarray:
        """The moving instances warped to the fixed grid, ``(*spatial)``."""
        return warp_labels(given(self.pair.moving.instances), self.displacement)

    @cached_property
    def error(self) -> np.ndarray:
        """End-point error, ``(*spatial)``, in the unit of the spacing; requires a true displacement."""
        return endpoint.end_point_error(self.displacement, given(self.pair.truth).displacement, self.pair.spacing)


def given(value: T | None) -> T:
    """Assert that a value, which the metric's card requires, is not ``None``, and return it."""
    assert value is not None
    return value


def mean(values: np.ndarray) -> float:
    """Return the mean of values; NaN if there are none."""
    return float(values.mean()) if values.size else float("nan")
