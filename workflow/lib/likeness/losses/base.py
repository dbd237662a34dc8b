"""Interface of similarity losses, and the keys of their cards.

The card is a dictionary literal ``CARD`` at the top of the module. Required keys:

=============  ========================================================================================================
formula        LaTeX, without dollar signs
range          ``[lowest, highest]`` value, ``None`` if unbounded
doi            DOI of the paper that defines the loss; ``None`` if unpublished
supervision    ``none``, ``external``, ``in-domain`` (unlabelled images of the dataset) or ``labels``
=============  ========================================================================================================

Optional keys; most have a default, in ``DEFAULTS`` of :mod:`likeness.losses`:

=============  ========================================================================================================
title          display name in figures and tables; by default the module's name
order          rank in figures and tables, in a range of 100 per kind of supervision; by default last in its group
colour         hex colour, the same in every figure; by default one that no other loss has
marker         matplotlib marker, a string or tuple, so that losses are not told apart by colour alone; by default one
               that no other loss has
dimensions     supported spatial dimensions; by default 2 and 3
extractor      name of the required feature extractor
requires       required parts of a dataset, ``{"mask": "the reason, as a sentence"}``, of ``mask``, ``unmatched``,
               ``label`` and ``labels`` (at least two scored labels)
invariances    intensity changes of one image that do not change the value, of ``offset``, ``scale``, ``inversion``,
               ``monotone``
grid           multipliers s of the balanced regularisation weight to try
raw_grid       regularisation weights λ of published protocols, for ``lambda: {scale: raw}``
options        keyword arguments of the constructor, each with its ``default`` and constraints besides the default's
               type, as JSON Schema keywords and ``odd``, for example ``{"window": {"default": 9, "odd": True,
               "minimum": 3}}``, so that invalid values are reported before any job. ``with`` gives the values of other
               options for which an option has an effect, ``tune`` those that a study with ``tune`` tries
shares         private modules in the same folder whose literal ``OPTIONS`` the loss has too, such as ``["_features"]``;
               ``options`` may override their keys, or remove an option with ``None``
noise          those of ``dimensions`` in which the loss uses :meth:`Registration.randomness`, so that its value depends
               on the seed, each with the option that sets the number of draws
window         for a loss that compares neighbourhoods, their size in voxels, with its options in backquotes. The size
               in voxels is the same on the coarse levels of an optimisation; results come from the finest level, at
               full resolution. Omitted for voxelwise losses and networks
coarse         why the loss is nearly insensitive to small displacements, as a sentence. Omitted if it is sensitive
oracle         true if the loss reads the labels or the unmatched content of the pair itself: in per-pair optimisation,
               where this includes test pairs, it is a reference in a separate group and not compared with other losses
only_trained   why the loss does not apply to per-pair optimisation, as a sentence. Omitted if it does
=============  ========================================================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likeness.geometry import warp
from likeness.interpolation import along, coarsening, pitch
from likeness.training.randomness import seed_of

T = TypeVar("T")


@dataclass
class Registration:
    """A batch of pairs under registration: all inputs of a loss, derived quantities being computed once on demand.

    Label maps are one-hot encoded when a loss asks for it. To evaluate the same pairs at several displacements, use
    :meth:`at`; results of :meth:`kept` are then shared, and inputs other than the displacement must not change.

    Attributes:
        moving: moving images, ``(batch, 1, *spatial)`` in [0, 1].
        fixed: fixed images, ``(batch, 1, *spatial)`` in [0, 1].
        displacement: ``(batch, dims, *spatial)`` in voxels, from the fixed grid into the moving image.
        moving_label_map: class indices below ``classes``, ``(batch, 1, *spatial)``; ``None`` if not available.
        fixed_label_map: likewise for the fixed images.
        moving_mask: float, ``(batch, 1, *spatial)``, 1 in the foreground; ``None`` if not available.
        fixed_mask: likewise for the fixed images.
        moving_unmatched: float, ``(batch, 1, *spatial)``, 1 where the moving image has content that the fixed one
            lacks, for oracles; ``None`` if not available.
        fixed_unmatched: likewise for the fixed images.
        classes: number of classes.
        spacing: voxel size along each axis; ``None`` if not available.
        generator: random state, a function of seed and step; losses must draw from :meth:`randomness` only.
        finer: the same pairs at full resolution, if this is a :meth:`coarser` form of them.
    """

    moving: Tensor
    fixed: Tensor
    displacement: Tensor
    moving_label_map: Tensor | None = None
    fixed_label_map: Tensor | None = None
    moving_mask: Tensor | None = None
    fixed_mask: Tensor | None = None
    moving_unmatched: Tensor | None = None
    fixed_unmatched: Tensor | None = None
    classes: int = 0
    spacing: tuple[float, ...] | None = None
    generator: torch.Generator | None = None
    finer: Registration | None = None
    _store: dict[Hashable, Any] | None = field(default=None, init=False, repr=False, compare=False)
    """Cache of :meth:`kept`, shared with :meth:`at`; ``None`` until there is another displacement."""

    def at(self, displacement: Tensor) -> Registration:
        """Return the same pairs at another displacement; cached results are shared."""
        if self._store is None:
            self._store = {}
        other = replace(self, displacement=displacement)
        other._store = self._store
        return other

    def coarser(self, shape: Sequence[int]) -> Registration:
        """Return the same pairs on a coarser grid with the same field of view and zero displacement.

        Images, masks and maps of unmatched content are smoothed by a Gaussian with half the new voxel distance as
        standard deviation; the outermost voxels of both grids coincide. Labels are resampled by nearest neighbour.
        Windows keep their size in voxels and therefore cover more of the image. Losses with a network, which was
        trained at one spacing, use the features of :attr:`finer`.

        Args:
            shape: spatial shape of the grid; that of the images returns this object.
        """
        size = self.fixed.shape[2:]
        if tuple(shape) == tuple(size):
            return self
        steps = pitch(size, shape)
        matrices = [coarsening(n, points) for n, points in zip(size, shape, strict=True)]
        nearest = [torch.linspace(0, n - 1, points).round().long() for n, points in zip(size, shape, strict=True)]

        def smoothed(values: Tensor | None) -> Tensor | None:
            return None if values is None else along(values, matrices)

        def picked(labels: Tensor | None) -> Tensor | None:
            for axis, places in enumerate(nearest, start=2):
                labels = None if labels is None else labels.index_select(axis, places.to(labels.device))
            return labels

        return replace(
            self,
            finer=self,
            moving=along(self.moving, matrices),
            fixed=along(self.fixed, matrices),
            displacement=self.displacement.new_zeros(*self.displacement.shape[:2], *shape),
            moving_label_map=picked(self.moving_label_map),
            fixed_label_map=picked(self.fixed_label_map),
            moving_mask=smoothed(self.moving_mask),
            fixed_mask=smoothed(self.fixed_mask),
            moving_unmatched=smoothed(self.moving_unmatched),
            fixed_unmatched=smoothed(self.fixed_unmatched),
            spacing=None if self.spacing is None else tuple(s * p for s, p in zip(self.spacing, steps, strict=True)),
        )

    @property
    def keeps(self) -> bool:
        """Whether :meth:`kept` caches results, which it does after the first :meth:`at`.

        Before that, the memory would be wasted. A loss that can do without a large cached result should check this.
        """
        return self._store is not None

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute, without gradient, a quantity that does not depend on the displacement, and cache it for :meth:`at`.

        Args:
            key: identifies the quantity among all cached for these pairs; losses include themselves, which also
                identifies their options.
            compute: must not depend on the displacement or anything warped by it; its result must not be modified.
        """
        if self._store is None:
            with torch.no_grad():
                return compute()
        # results computed under autocast must not be reused without it
        key = (key, torch.is_autocast_enabled(self.fixed.device.type))
        if key not in self._store:
            # tensors created in inference mode cannot take part in a backward pass
            with torch.inference_mode(False), torch.no_grad():
                self._store[key] = compute()
        return self._store[key]

    def randomness(self, *key: int) -> torch.Generator:
        """Return a random generator that is a function of seed, step and ``key``, the same at every call.

        Draws must not depend on the batch size: one draw serves all pairs, for example noise of shape
        ``(1, 1, *spatial)``. Otherwise the value of a pair would depend on its position in the batch.
        """
        seed, device = (7, "cpu") if self.generator is None else (self.generator.initial_seed(), self.generator.device)
        return torch.Generator(device).manual_seed(seed_of(seed, *key))

    def _one_hot(self, labels: Tensor | None) -> Tensor | None:
        if labels is None:
            return None
        return F.one_hot(labels[:, 0].long(), self.classes).movedim(-1, 1).to(self.moving.dtype)

    @cached_property
    def moving_labels(self) -> Tensor | None:
        """One-hot labels of the moving image, ``(batch, classes, *spatial)``."""
        return self.kept("moving_labels", lambda: self._one_hot(self.moving_label_map))

    @cached_property
    def fixed_labels(self) -> Tensor | None:
        """One-hot labels of the fixed image, ``(batch, classes, *spatial)``."""
        return self.kept("fixed_labels", lambda: self._one_hot(self.fixed_label_map))

    @cached_property
    def moved(self) -> Tensor:
        """The moving image warped to the fixed grid, ``(batch, 1, *spatial)``; the border is replicated outside."""
        return warp(self.moving, self.displacement)

    @cached_property
    def moved_labels(self) -> Tensor | None:
        """The moving one-hot labels, linearly warped, ``(batch, classes, *spatial)``; 0 outside."""
        return None if self.moving_labels is None else warp(self.moving_labels, self.displacement, padding="zeros")

    @cached_property
    def mask(self) -> Tensor | None:
        """Common foreground: the warped moving mask times the fixed mask, in [0, 1]; ``None`` without masks."""
        warped = None if self.moving_mask is None else warp(self.moving_mask, self.displacement, padding="zeros")
        masks = [m for m in (warped, self.fixed_mask) if m is not None]
        return None if not masks else masks[0] if len(masks) == 1 else masks[0] * masks[1]


class SimilarityLoss(nn.Module, ABC):
    """A dissimilarity of two images, to be minimised over the displacement.

    It returns one value per pair, ``(batch,)``; lower is better. The value is differentiable with respect to the
    displacement, finite for constant images, and has a local minimum at identity under spatial perturbation. Value and
    gradient of a pair do not depend on the other pairs of its batch; averaging over the batch is left to the caller. A
    loss whose card names an extractor receives the network as ``extractor``; its options are keyword arguments, whose
    defaults are on the card only: :func:`likeness.losses.build` fills them in.
    """

    @abstractmethod
    def forward(self, pair: Registration) -> Tensor:
        """Return the dissimilarity of each pair, ``(batch,)``."""

    def coarsens(self, dims: int) -> bool:  # noqa: ARG002
        """Return whether the loss supports :meth:`Registration.coarser` for images of this dimensionality.

        Losses on intensities do. If not, all levels of an optimisation use the full-resolution images.
        """
        return True

    def map(self, pair: Registration) -> Tensor | None:  # noqa: ARG002
        """Return the dissimilarity per voxel, ``(batch, 1, *spatial)``; ``None`` if the loss is not a mean over
        voxels."""
        return None


def mean_per_pair(values: Tensor) -> Tensor:
    """Return the mean over each pair, ``(batch,)``, of values ``(batch, ...)``, for example of a map."""
    # the gradient of a sum is an expanded view, whereas that of a mean allocates an image
    return values.sum(tuple(range(1, values.dim()))) / values.shape[1:].numel()


def required(loss: str, what: str, value: Tensor | None) -> Tensor:
    """Return an input that a loss requires.

    Raises:
        ValueError: if the dataset does not have it.
    """
    if value is None:
        msg = f"{loss}: needs a {what} of both images, but the dataset has none; add the column or remove the loss"
        raise ValueError(msg)
    return value
