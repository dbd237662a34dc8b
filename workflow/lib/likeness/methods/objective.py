"""The objective of a registration: ``dissimilarity + λ · energy of a regulariser``.

On the balanced scale λ = λ₀ · s, where λ₀ equalises the gradient norms of both terms with respect to the displacement
on training pairs, so that one range of s suits every loss; on the raw scale λ is given directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from likeness import extractors, losses
from likeness.data.loading import Loader, chunks
from likeness.data.store import Dataset
from likeness.geometry import diffusion_energy
from likeness.losses.base import Registration, SimilarityLoss
from likeness.training.augmentation import Augmentation, random_affine, resample
from likeness.training.randomness import generator

BALANCED = 8
"""Number of training pairs used to determine λ₀."""


class Objective:
    """Loss and regulariser for pairs of one dataset.

    Args:
        dataset: prepared dataset.
        loss: name of the loss.
        options: options of the loss, completed with its defaults.
        extractor: weights of the loss's extractor, or ``None``.
        device: device of images and loss.
        seed: seed of augmentation, noise and an extractor's twin; ``None`` without randomness.
        regulariser: function that maps displacements in voxels and the voxel spacing to energies ``(batch,)``.
    """

    def __init__(
        self,
        dataset: Dataset,
        loss: str,
        options: dict[str, Any],
        extractor: Path | None,
        device: torch.device,
        seed: int | None,
        regulariser: Callable[[Tensor, Sequence[float]], Tensor] = diffusion_energy,
    ) -> None:
        self.dataset = dataset
        self.device = device
        self.seed = 0 if seed is None else seed
        self.regulariser = regulariser
        self.loader = Loader(dataset, device)
        weights = options.get(losses.WEIGHTS, extractors.TRAINED)
        features = {} if extractor is None else {"extractor": extractors.load(extractor, weights, self.seed)}
        self.loss: SimilarityLoss = losses.build(loss, **options, **features).to(device)

    def registration(
        self, pairs: Sequence[tuple[str, str]], step: int = 0, augmentation: Augmentation | None = None
    ) -> Registration:
        """Load pairs ``(moving, fixed)`` as a registration with zero displacement.

        Args:
            pairs: image ids.
            step: determines, with the seed, the randomness of augmentation and loss.
            augmentation: random affine augmentation of both images jointly; ``None`` for none.
        """
        moving, fixed = (list(side) for side in zip(*pairs, strict=True))
        loader = self.loader
        images = [loader.images(moving), loader.images(fixed)]
        maps = [part(side) for part in (loader.labels, loader.masks, loader.unmatched) for side in (moving, fixed)]
        if augmentation is not None and not augmentation.idle:
            source = generator("cpu", self.seed, step, 1)
            points = random_affine(images[0], augmentation, self.dataset.spacing, source)
            images = [resample(points, image) for image in images]
            maps = [None if part is None else resample(points, part) for part in maps]
        dims = self.dataset.spatial_dims
        return Registration(
            images[0],
            images[1],
            torch.zeros(len(pairs), dims, *self.dataset.shape, device=self.device),
            moving_label_map=maps[0],
            fixed_label_map=maps[1],
            moving_mask=maps[2],
            fixed_mask=maps[3],
            moving_unmatched=maps[4],
            fixed_unmatched=maps[5],
            classes=len(loader.ids),
            spacing=self.dataset.spacing,
            generator=generator(self.device, self.seed, step, 2),
        )

    def values(self, pair: Registration, lam: float) -> dict[str, Tensor]:
        """Return ``loss``, ``dissimilarity`` and ``smoothness`` (regulariser energy) of each pair, ``(batch,)``."""
        dissimilarity = self.loss(pair)
        smoothness = self.regulariser(pair.displacement.float(), self.dataset.spacing)
        return {"loss": dissimilarity + lam * smoothness, "dissimilarity": dissimilarity, "smoothness": smoothness}

    def balance(self, batch: int) -> float:
        """Return λ₀, at which dissimilarity and regulariser have equal gradient norms.

        Both gradients are taken at the same smooth random displacements of about one voxel, on training pairs or, if
        there are none, validation or test pairs, ``batch`` at a time. Pairs, displacements and noise do not depend on
        the seed, so that runs that differ in their seed have the same scale.
        """
        pairs = next(found for split in ("train", "val", "test") if (found := self.dataset.pairs_of(split)))
        chosen = np.random.default_rng(3).permutation(len(pairs))[:BALANCED]
        coarse = [max(2, n // 8) for n in self.dataset.shape]
        mode = "bilinear" if self.dataset.spatial_dims == 2 else "trilinear"
        ratios: list[float] = []
        for part in chunks(list(enumerate(chosen)), batch):
            pair = self.registration([pairs[index] for _, index in part])
            pair.generator = generator(self.device, part[0][0], 5)
            sources = [generator("cpu", k, 4) for k, _ in part]
            noise = torch.cat([torch.randn(1, len(coarse), *coarse, generator=source) for source in sources])
            start = F.interpolate(noise.to(self.device), self.dataset.shape, mode=mode, align_corners=True)
            pair.displacement = start.requires_grad_()
            values = self.values(pair, 0.0)
            # a pair's values depend on its own displacement only, so the gradient of the sum contains that of each pair
            pulls = [
                torch.autograd.grad(values[term].sum(), start)[0].flatten(1).norm(dim=1)
                for term in ("dissimilarity", "smoothness")
            ]
            ratios += (pulls[0] / pulls[1]).tolist()
        return float(np.median(ratios))
