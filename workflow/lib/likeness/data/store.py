"""The prepared form of a dataset, the same for built-in and user datasets.

A folder with ``dataset.yaml`` (all keys present), ``images.csv``, ``pairs.csv`` (all pairs of all splits),
``intensities.csv`` (what became 0 and 1 in each image, and quantiles of what it was before) and
``images/<id>.npz``, uncompressed, with ``image`` (float32 in [0, 1]) and those available of ``label`` (int16),
``instances`` (int32), ``mask`` and ``unmatched`` (bool), ``field`` (float32, ``(*spatial, dims)``) and ``landmarks``
(float64, ``(points, dims)``, voxels). The archive also has ``stored`` and, except for pictures, ``affine``, which
locate the voxels (float64, see :class:`likeness.imageio.placement.Placement`).
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from likeness import metrics
from likeness.imageio.placement import Placement
from likeness.userinput.errors import made_anew

if TYPE_CHECKING:
    from likeness.imageio.formats import Contradiction

PARTS = {
    "image": np.float32,
    "label": np.int16,
    "instances": np.int32,
    "mask": np.bool_,
    "unmatched": np.bool_,
    "field": np.float32,
    "landmarks": np.float64,
}

PLACEMENT = ("stored", "affine")
"""Arrays that describe the location of the voxels, rather than content."""

INTENSITIES = "intensities.csv"
"""Table of the original intensities: ``id``, ``low`` and ``high``, and quantiles ``q0`` to ``q1``."""

LARGEST_LABEL = int(np.iinfo(PARTS["label"]).max)
"""Larger label values are numbered anew when a dataset is prepared; their names stay."""

ATLAS = "atlas"
"""What the column ``split`` says of an image that belongs to no split: images of every split are registered to it."""

TOLD = ("split", "group", "subject", "modality")
"""Columns that ``images.csv`` always has besides ``id``; empty if the raw dataset does not have them."""


@dataclass(frozen=True)
class Sample:
    """One image and its parts; arrays are ``(*spatial)``, missing parts are ``None``.

    Attributes:
        name: id of the image.
        image: intensities, float32; in [0, 1] in a prepared dataset.
        label: label ids.
        instances: instance ids.
        mask: foreground.
        unmatched: content that the other image of a pair does not have.
        field: true displacement ``(*spatial, dims)`` in voxels, from this image's grid to a space shared by all images
            of the same ``group``.
        landmarks: ``(points, dims)`` in voxels, NaN where a point is not known; equal rows correspond within a pair.
        placement: location of the voxels; set for raw datasets only, see :meth:`Dataset.placement` for prepared ones.
        contradictions: those within the headers of its files, by part; for raw datasets only.
    """

    name: str
    image: np.ndarray
    label: np.ndarray | None = None
    instances: np.ndarray | None = None
    mask: np.ndarray | None = None
    unmatched: np.ndarray | None = None
    field: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    placement: Placement | None = None
    contradictions: Mapping[str, Contradiction] = dataclasses.field(default_factory=dict)


def of_one_specimen(folders: Iterable[str | Path]) -> set[str]:
    """Return the names of those prepared datasets whose images are all of one specimen."""
    opened = [Dataset.open(folder) for folder in folders]
    return {one.name for one in opened if one.meta["within_subject"]}


def of_split(pairs: pd.DataFrame, split: str) -> list[tuple[str, str]]:
    """Select the pairs ``(moving, fixed)`` of a split from a table of pairs."""
    chosen = pairs[pairs.split == split]
    return list(zip(chosen.moving, chosen.fixed, strict=True))


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset; open one with :meth:`open`."""

    folder: Path
    meta: dict[str, Any]
    images: pd.DataFrame
    """``images.csv`` indexed by id; always has the columns :data:`TOLD`."""
    pairs: pd.DataFrame
    """``pairs.csv``: ``split``, ``moving``, ``fixed``."""

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """Open a folder written by :func:`likeness.data.preparation.prepare`."""
        folder = Path(folder)
        meta = yaml.safe_load((folder / "dataset.yaml").read_text())
        text = dict.fromkeys(("id", *TOLD, "moving", "fixed"), str)
        images = pd.read_csv(folder / "images.csv", dtype=text, keep_default_na=False).set_index("id")
        return cls(folder, meta, images, pd.read_csv(folder / "pairs.csv", dtype=text, keep_default_na=False))

    @property
    def name(self) -> str:
        """Name of the dataset in the study."""
        return self.meta["name"]

    @property
    def spatial_dims(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return self.meta["spatial_dims"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of all images."""
        return tuple(self.meta["shape"])

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a voxel along each axis, in :attr:`spacing_unit`."""
        return tuple(float(s) for s in self.meta["spacing"])

    @property
    def spacing_unit(self) -> str:
        """Unit in which distances are reported."""
        return self.meta["spacing_unit"]

    @property
    def labels(self) -> dict[int, str]:
        """Name of every label by id, including the background."""
        return {int(k): str(v) for k, v in self.meta["labels"].items()}

    @property
    def evaluate(self) -> list[int]:
        """Ids of the scored labels."""
        return [int(k) for k in self.meta["evaluate"]]

    @property
    def taught(self) -> list[int]:
        """Half of the scored labels, on which the extractor ``segmentation_half`` is trained; a fixed random selection.

        Taking every other id would not do: if left and right structures alternate, one side would teach the other.
        """
        ids = sorted(self.evaluate)
        return sorted(int(k) for k in np.random.default_rng(len(ids)).permutation(ids)[: len(ids) // 2])

    @property
    def held_out(self) -> list[int]:
        """The other half of the scored labels; empty if only one is scored."""
        return [k for k in sorted(self.evaluate) if k not in self.taught] if self.taught else []

    @property
    def axes(self) -> str:
        """Axis convention of slices: ``"ij"`` for pictures (row, column), ``"xyz"`` for canonical NIfTI axes."""
        return self.meta["axes"]

    @cached_property
    def has(self) -> frozenset[str]:
        """Those of :data:`PARTS` that at least one image has."""
        return frozenset(self.meta["has"])

    @property
    def primary(self) -> str:
        """Primary metric, used to choose λ and shown first in figures: the best that the dataset's parts allow."""
        return metrics.primary(self.has)

    @property
    def intensities(self) -> pd.DataFrame:
        """The original intensities, ``intensities.csv`` indexed by id."""
        return pd.read_csv(self.folder / INTENSITIES, dtype={"id": str}, keep_default_na=False).set_index("id")

    def load(self, id: str) -> Sample:
        """Load one image with all its parts.

        Raises:
            KeyError: if the dataset has no such image.
            UserError: if the file is damaged.
        """
        return Sample(id, **self._read(id, tuple(PARTS)))

    def placement(self, id: str) -> Placement:
        """Load the location of the voxels of one image, in space and in the order of its file.

        Raises:
            KeyError: if the dataset has no such image.
            UserError: if the file is damaged.
        """
        return Placement(self.shape, **self._read(id, PLACEMENT))

    def _read(self, id: str, names: tuple[str, ...]) -> dict[str, Any]:
        """Load those of the named arrays that an image has."""
        if id not in self.images.index:
            msg = f"{self.folder}: no image '{id}'"
            raise KeyError(msg)
        path = self.folder / "images" / f"{id}.npz"
        try:
            with np.load(path, allow_pickle=False) as parts:
                return {name: parts[name] for name in names if name in parts}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"is damaged ({error})", self.folder) from error

    def pairs_of(self, split: str) -> list[tuple[str, str]]:
        """List the pairs ``(moving, fixed)`` of ``train``, ``val`` or ``test``."""
        return of_split(self.pairs, split)

    @property
    def registered(self) -> list[tuple[str, str]]:
        """The pairs ``(moving, fixed)`` that every method registers: validation, then test."""
        return [*self.pairs_of("val"), *self.pairs_of("test")]

    def subject(self, id: str) -> str:
        """Return the independent unit that an image belongs to: its ``subject`` if known, else its id."""
        return self.images.subject[id] or id

    def subjects(self, moving: str, fixed: str) -> tuple[str, str]:
        """Return the independent units of a pair; an atlas is none, so that the other one counts alone."""
        found = self.subject(moving), self.subject(fixed)
        split = self.images.split
        return (found[split[moving] == ATLAS], found[split[fixed] != ATLAS])
