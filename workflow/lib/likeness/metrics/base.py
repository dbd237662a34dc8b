"""The contract of a metric, and what all metrics of a registered pair share.

The card, a literal dictionary ``CARD`` at the top of the module, must have:

===========  ===========================================================================================================
title        name in full, as figures and tables show it
unit         ``1``, ``%``, or ``distance`` for the dataset's own unit of length
range        ``[lowest, highest]`` value, ``None`` where unbounded
doi          of the paper the definition comes from, ``None`` where there is none
===========  ===========================================================================================================

These may be left out:

===========  ===========================================================================================================
order        place in tables, by default behind all others
short        name where space is short, by default the title
better       ``lower`` or ``higher``; left out of what is a description and no merit, such as roughness
per          ``label`` where there is one value for each scored label, which tables sum up by their mean, or
             ``instance`` where the one value is a mean over instances; by default it is one for the whole image
dimensions   spatial dimensions it is defined in, by default both
needs        what both images must have, of ``field``, ``label``, ``landmarks``, ``instances``, ``mask`` and
             ``unmatched``; there is no row where one lacks it. What needs nothing describes the displacement alone
rank         place among the scores that may stand for a whole dataset, best first: figures show the first that a
             dataset has, and below it the second
primary      true where λ may be chosen by it; needs ``rank``, ``better`` and ``needs``
smallest     smallest difference that matters; by default 2 % of the value
costly       true where it takes so long that it is computed on test pairs at the chosen λ alone
===========  ===========================================================================================================

The function ``score(registered)`` takes a :class:`Registered` and gives a number, NaN where undefined; ``per`` label a
number for each label id; or ``None`` where the pair lacks what is not among ``needs``, such as a common space. What it
is computed from, it finds there: each is computed once, when first asked for, by whichever metric does.
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
"""What a metric gives: a number, or one for each label id."""
OUTSIDE = -1
"""The label of what lies outside the moving image; not 0, which may be a structure."""


class Image(Protocol):
    """What metrics know of an image, such as a :class:`likeness.data.store.Sample`; ``None`` is what it lacks."""

    @property
    def label(self) -> np.ndarray | None:
        """Label ids, ``(*spatial)``."""

    @property
    def instances(self) -> np.ndarray | None:
        """Instance ids, ``(*spatial)``; 0 is no instance."""

    @property
    def mask(self) -> np.ndarray | None:
        """Where the image has content, ``(*spatial)``, bool."""

    @property
    def unmatched(self) -> np.ndarray | None:
        """Content that its partner lacks, ``(*spatial)``, bool."""

    @property
    def field(self) -> np.ndarray | None:
        """The true displacement into a common space, ``(*spatial, dims)``, voxels."""

    @property
    def landmarks(self) -> np.ndarray | None:
        """Corresponding points, ``(points, dims)``, voxels."""


@dataclass(frozen=True)
class Truth:
    """The true displacement of a pair, ``(*spatial, dims)``, voxels, and, ``(*spatial)``, bool, where it counts."""

    displacement: np.ndarray
    counterpart: np.ndarray
    """Voxels of the fixed image whose content the moving image has too."""


@dataclass
class Pair:
    """A pair of images, with what does not depend on a displacement; each is computed once, when first asked for."""

    moving: Image
    fixed: Image
    spacing: tuple[float, ...]
    """Size of a voxel along each axis, in :attr:`unit`."""
    unit: str
    labels: Sequence[int]
    """The label ids that are scored."""
    held_out: Sequence[int]
    """Those of them that the extractor ``segmentation_half`` is not taught."""
    related: bool
    """Whether the fields of both images lead into one space."""
    _store: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def at(self, displacement: np.ndarray) -> Registered:
        """Give the pair registered by a displacement ``(*spatial, dims)``, finite, in voxels of the fixed grid."""
        return Registered(self, displacement)

    def has(self, parts: Iterable[str]) -> bool:
        """Tell whether both images have all of some parts."""
        return all(getattr(image, part) is not None for part in parts for image in (self.moving, self.fixed))

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute what no displacement changes, once for all displacements of the pair."""
        if key not in self._store:
            self._store[key] = compute()
        return self._store[key]

    @cached_property
    def truth(self) -> Truth | None:
        """The true displacement, or ``None`` where the pair has none."""
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
        """Content that one image lacks, ``(*spatial)``, bool, or ``None`` where the pair marks none.

        The moving image's is taken to the fixed grid by the truth; without a truth only the fixed image's is known.
        """
        moved = None if self.truth is None else self._moved_unmatched(self.truth.displacement)
        masks = [m for m in (self.fixed.unmatched, moved) if m is not None]
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def common(self) -> np.ndarray:
        """Whether both images have a scored label before warping, ``(labels)``, bool; of a pair that has labels."""
        return overlap.common(given(self.fixed.label), given(self.moving.label), self.labels)


class Registered:
    """A pair at one displacement, with what depends on it; each is computed once, when first asked for."""

    def __init__(self, pair: Pair, displacement: np.ndarray) -> None:
        self.pair = pair
        self.displacement = displacement
        self._store: dict[Hashable, Any] = {}

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute what several metrics use, once for this displacement."""
        if key not in self._store:
            self._store[key] = compute()
        return self._store[key]

    @cached_property
    def determinants(self) -> np.ndarray:
        """The Jacobian determinant of ``x + u(x)``, ``(*spatial)``, by central differences."""
        return regularity.jacobian(self.displacement)

    @cached_property
    def moved_label(self) -> np.ndarray:
        """The moving label map on the fixed grid, ``(*spatial)``, :data:`OUTSIDE` where it ends."""
        return warp_labels(given(self.pair.moving.label), self.displacement, OUTSIDE)

    @cached_property
    def moved_instances(self) -> np.ndarray:
        """The moving instances on the fixed grid, ``(*spatial)``."""
        return warp_labels(given(self.pair.moving.instances), self.displacement)

    @cached_property
    def error(self) -> np.ndarray:
        """The end-point error ``(*spatial)`` in the unit of the spacing, of a pair that has a truth."""
        return endpoint.end_point_error(self.displacement, given(self.pair.truth).displacement, self.pair.spacing)


def given(value: T | None) -> T:
    """Give back what is there because the card of the metric needs it."""
    assert value is not None
    return value


def mean(values: np.ndarray) -> float:
    """Give the mean of values, NaN of none."""
    return float(values.mean()) if values.size else float("nan")
