"""The contract of a similarity loss.

The card, a literal dictionary ``CARD`` at the top of the module, says what is the loss's own. These it must have:

=============  ========================================================================================================
formula        LaTeX, without dollar signs
range          ``[lowest, highest]`` value, ``None`` where unbounded
doi            of the paper the definition comes from, ``None`` for an unpublished one
supervision    ``none``, ``external``, ``in-domain`` (unlabelled images of the dataset) or ``labels``
=============  ========================================================================================================

These may be left out; most have a default, in ``DEFAULTS`` of :mod:`likeness.losses`:

=============  ========================================================================================================
title          display name, as figures and tables show it; by default the module's name
order          place in figures and tables, 100 steps a group of supervision; by default the last of its group
colour         hex colour, the same in every figure; by default one that no other loss has
marker         matplotlib marker, a string or a tuple, so that colour is never the only cue; by default one that no
               other loss has
dimensions     spatial dimensions it works in, by default both
extractor      name of the feature extractor it needs
requires       what a dataset must have, ``{"mask": "the reason, as a sentence"}``, of ``mask``, ``label`` and
               ``labels``, two scored ones at least
invariances    intensity changes of one image that leave the value unchanged, of ``offset``, ``scale``, ``inversion``,
               ``monotone``
grid           multipliers s of the balanced regularisation weight that are tried
raw_grid       regularisation weights λ of the papers' protocols, for ``lambda: {scale: raw}``
options        the keywords of the constructor, each with its ``default`` and, as keywords of JSON Schema and ``odd``,
               what it may be beside of the default's kind, for example ``{"window": {"default": 9, "odd": True,
               "minimum": 3}}``: what the loss would not take is then refused before any job. ``with`` names what
               another option has to be for this one to have an effect
shares         private modules beside the loss whose literal ``OPTIONS`` it has too, such as ``["_features"]``; under
               ``options`` it may state some of their keys anew, or take an option away by ``None``
noise          of ``dimensions``, those in which the loss draws from :meth:`Registration.randomness`, so that its value
               is another one for another seed, each with the option that says how much is drawn
window         of a loss that compares neighbourhoods, what they are in voxels, with its options in backquotes. They are
               as many voxels of coarse images, where an optimisation goes from coarse to fine; the finest level,
               which decides, is at full resolution. Left out where every voxel stands alone, or a network looks
coarse         why it hardly sees small displacements, as a sentence. Left out where it does
oracle         true where it reads the labels of the very pair: under per-pair optimisation, which would know them of
               test pairs too, it is a reference in a group of its own, compared with no other loss
only_trained   why it does not apply to per-pair optimisation, as a sentence. Left out where it does
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
    """A batch of pairs under registration: everything a loss may need, each computed once and only when asked for.

    Images are ``(batch, 1, *spatial)`` in [0, 1], the displacement is ``(batch, dims, *spatial)`` in voxels of the
    fixed grid and points into the moving image. Label maps are class indices ``(batch, 1, *spatial)`` below
    ``classes``; their one-hot forms are made when a loss asks. Masks are floats ``(batch, 1, *spatial)``, 1 where the
    image has content. What a dataset lacks is ``None``.

    Pairs that are looked at for many displacements are one registration and its :meth:`at`: what losses get from
    :meth:`kept` is then computed once for all of them. All but the displacement stays as it is from the first of them.
    """

    moving: Tensor
    fixed: Tensor
    displacement: Tensor
    moving_label_map: Tensor | None = None
    fixed_label_map: Tensor | None = None
    moving_mask: Tensor | None = None
    fixed_mask: Tensor | None = None
    classes: int = 0
    spacing: tuple[float, ...] | None = None
    generator: torch.Generator | None = None
    """Randomness as a function of seed and step; a loss draws from :meth:`randomness` alone."""
    finer: Registration | None = None
    """The same pairs as the dataset has them, where this is a :meth:`coarser` form of them."""
    _store: dict[Hashable, Any] | None = field(default=None, init=False, repr=False, compare=False)
    """What :meth:`kept` keeps, shared with :meth:`at`; ``None`` as long as there is no other displacement."""

    def at(self, displacement: Tensor) -> Registration:
        """Give the same pairs at another displacement, with all that is kept for them."""
        if self._store is None:
            self._store = {}
        other = replace(self, displacement=displacement)
        other._store = self._store
        return other

    def coarser(self, shape: Sequence[int]) -> Registration:
        """Give the same pairs, with no displacement, on a coarser grid over the same image.

        Images and masks are smoothed by a Gaussian of half the distance between the new voxels, of which the outermost
        coincide with the old ones; labels are those of the nearest old voxel. A loss whose window is a number of voxels
        sees further there. One of a network, which knows images of one spacing, takes its features from :attr:`finer`.

        Args:
            shape: spatial shape of the grid; that of the images gives back this very registration.
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
            spacing=None if self.spacing is None else tuple(s * p for s, p in zip(self.spacing, steps, strict=True)),
        )

    @property
    def keeps(self) -> bool:
        """Whether :meth:`kept` keeps anything: it does from the first :meth:`at` on.

        Until then it would hold on to memory for nobody. Where a loss is as good without a thing that takes much of it,
        it should ask.
        """
        return self._store is not None

    def kept(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute, without gradient, what depends on images and draws alone; once for all displacements.

        Args:
            key: tells it apart from all else that is kept for these pairs. A loss puts itself in, which stands for its
                options too.
            compute: may not depend on the displacement, nor on what it warps. Nobody may change what it gives.
        """
        if self._store is None:
            with torch.no_grad():
                return compute()
        # what was computed in half precision is no good without
        key = (key, torch.is_autocast_enabled(self.fixed.device.type))
        if key not in self._store:
            # a gradient can't go through what was made in inference mode
            with torch.inference_mode(False), torch.no_grad():
                self._store[key] = compute()
        return self._store[key]

    def randomness(self, *key: int) -> torch.Generator:
        """Give a source of randomness that is a function of seed, step and ``key``: the same at every call.

        What is drawn may not depend on how many pairs there are: one draw serves all of them, for example noise of
        shape ``(1, 1, *spatial)``. A pair's value would otherwise depend on its place in the batch.
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
        """The moving image warped onto the fixed grid; what lies outside repeats the border."""
        return warp(self.moving, self.displacement)

    @cached_property
    def moved_labels(self) -> Tensor | None:
        """The moving one-hot labels, warped linearly; what lies outside is 0."""
        return None if self.moving_labels is None else warp(self.moving_labels, self.displacement, padding="zeros")

    @cached_property
    def mask(self) -> Tensor | None:
        """Where both images have content: the warped moving mask times the fixed one; ``None`` without any mask."""
        warped = None if self.moving_mask is None else warp(self.moving_mask, self.displacement, padding="zeros")
        masks = [m for m in (warped, self.fixed_mask) if m is not None]
        return None if not masks else masks[0] if len(masks) == 1 else masks[0] * masks[1]


class SimilarityLoss(nn.Module, ABC):
    """A dissimilarity of two images, to be minimised over the displacement.

    It returns one value per pair, ``(batch,)``, that is differentiable with respect to the displacement, lower is
    better, finite for constant images, with a local minimum at identity under spatial perturbation. A pair's value, and
    with it the pair's gradient, does not depend on what else is in its batch; a mean over the batch is its caller's. A
    loss whose card names an extractor takes the network as ``extractor`` in its constructor; its options are the
    constructor's keywords, whose defaults stand on the card alone: :func:`likeness.losses.build` fills them in.
    """

    @abstractmethod
    def forward(self, pair: Registration) -> Tensor:
        """Give the dissimilarity of each pair, ``(batch,)``."""

    def coarsens(self, dims: int) -> bool:  # noqa: ARG002
        """Tell whether :meth:`forward` takes pairs in their coarser form, :meth:`Registration.coarser`, in 2D or in 3D.

        A loss of intensities does by itself. Where it answers no, the coarse levels of an optimisation see images as
        they are.
        """
        return True

    def map(self, pair: Registration) -> Tensor | None:  # noqa: ARG002
        """Give the dissimilarity per voxel, ``(batch, 1, *spatial)``, or ``None`` where the definition has none."""
        return None


def mean_per_pair(values: Tensor) -> Tensor:
    """Give the mean over each pair, ``(batch,)``, of values ``(batch, ...)``, such as those of a map."""
    # the gradient of a sum is a view, that of a mean another image
    return values.sum(tuple(range(1, values.dim()))) / values.shape[1:].numel()


def required(loss: str, what: str, value: Tensor | None) -> Tensor:
    """Give back what a loss cannot do without.

    Raises:
        ValueError: if the dataset lacks it.
    """
    if value is None:
        msg = f"{loss}: needs a {what} of both images, but the dataset has none; add the column or drop the loss"
        raise ValueError(msg)
    return value
