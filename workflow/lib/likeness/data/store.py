"""The prepared form of a dataset, the same for built-in ones and a user's own.

A folder with ``dataset.yaml`` (completed: every key present), ``images.csv``, ``pairs.csv`` (every pair of every split,
explicit) and ``images/<id>.npz``, uncompressed, with ``image`` (float32 in [0, 1]) and what belongs to it of ``label``
(int16), ``instances`` (int32), ``mask`` and ``unmatched`` (bool), ``field`` (float32, ``(*spatial, dims)``) and
``landmarks`` (float64, ``(points, dims)``, voxels). Beside these stands where the voxels lie, ``stored`` and ``affine``
(float64, see :class:`likeness.imageio.placement.Placement`), the latter not for pictures.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from likeness import metrics
from likeness.imageio.placement import Placement
from likeness.userinput.errors import made_anew

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
"""What says where the voxels lie, no content."""

TOLD = ("split", "group", "subject", "modality")
"""The columns that ``images.csv`` always has beside ``id``, empty where the raw dataset does not tell."""


@dataclass(frozen=True)
class Sample:
    """One image with what belongs to it; arrays are ``(*spatial)``, absent parts are ``None``.

    ``mask`` marks where the image has content. ``unmatched`` marks content that its partner in a pair lacks. ``field``
    is a true displacement ``(*spatial, dims)`` in voxels from this image's grid into a space shared by all images of
    the same ``group``. ``landmarks`` are ``(points, dims)`` in voxels; the same row is the same point in every image.
    """

    name: str
    """The image's id."""
    image: np.ndarray
    label: np.ndarray | None = None
    instances: np.ndarray | None = None
    mask: np.ndarray | None = None
    unmatched: np.ndarray | None = None
    field: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    placement: Placement | None = None
    """Of what was read from a raw dataset; of a prepared one :meth:`Dataset.placement` tells."""


def of_split(pairs: pd.DataFrame, split: str) -> list[tuple[str, str]]:
    """List the pairs ``(moving, fixed)`` of a split from a table of pairs."""
    chosen = pairs[pairs.split == split]
    return list(zip(chosen.moving, chosen.fixed, strict=True))


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset. Open one with :meth:`open`."""

    folder: Path
    meta: dict[str, Any]
    images: pd.DataFrame
    """``images.csv`` indexed by id; always has the columns :data:`TOLD`."""
    pairs: pd.DataFrame
    """``pairs.csv``: ``split``, ``moving``, ``fixed``."""

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """Open the folder that the rule ``prepare`` wrote."""
        folder = Path(folder)
        meta = yaml.safe_load((folder / "dataset.yaml").read_text())
        text = dict.fromkeys(("id", *TOLD, "moving", "fixed"), str)
        images = pd.read_csv(folder / "images.csv", dtype=text, keep_default_na=False).set_index("id")
        return cls(folder, meta, images, pd.read_csv(folder / "pairs.csv", dtype=text, keep_default_na=False))

    @property
    def name(self) -> str:
        """What the study calls the dataset."""
        return self.meta["name"]

    @property
    def spatial_dims(self) -> int:
        """The number of spatial axes, 2 or 3."""
        return self.meta["spatial_dims"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The spatial shape that all images of the dataset share."""
        return tuple(self.meta["shape"])

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a voxel along each axis, in :attr:`spacing_unit`."""
        return tuple(float(s) for s in self.meta["spacing"])

    @property
    def spacing_unit(self) -> str:
        """The unit in which distances are reported."""
        return self.meta["spacing_unit"]

    @property
    def labels(self) -> dict[int, str]:
        """Every label's id and name, background included."""
        return {int(k): str(v) for k, v in self.meta["labels"].items()}

    @property
    def evaluate(self) -> list[int]:
        """The label ids that are scored."""
        return [int(k) for k in self.meta["evaluate"]]

    @property
    def taught(self) -> list[int]:
        """Half of the scored labels, which the extractor ``segmentation_half`` learns; drawn, but the same ones always.

        Neighbouring ids would not do: where left and right of a structure alternate, one side would teach the other.
        """
        ids = sorted(self.evaluate)
        return sorted(int(k) for k in np.random.default_rng(len(ids)).permutation(ids)[: len(ids) // 2])

    @property
    def held_out(self) -> list[int]:
        """The other scored labels; none where only one is scored."""
        return [k for k in sorted(self.evaluate) if k not in self.taught] if self.taught else []

    @property
    def axes(self) -> str:
        """How a slice is looked at: ``"ij"`` as a picture, row and column, ``"xyz"`` as canonical NIfTI axes."""
        return self.meta["axes"]

    @cached_property
    def has(self) -> frozenset[str]:
        """The parts that at least one image of this dataset has, of :data:`PARTS`."""
        return frozenset(self.meta["has"])

    @property
    def primary(self) -> str:
        """The score that λ is chosen by and figures show first: the best that the parts of the dataset allow."""
        return metrics.primary(self.has)

    def load(self, id: str) -> Sample:
        """Read one image with what belongs to it.

        Raises:
            KeyError: if the dataset has no such image.
            UserError: if its file is broken.
        """
        return Sample(id, **self._read(id, tuple(PARTS)))

    def placement(self, id: str) -> Placement:
        """Read where the voxels of one image lie, and where its file has them.

        Raises:
            KeyError: if the dataset has no such image.
            UserError: if its file is broken.
        """
        return Placement(self.shape, **self._read(id, PLACEMENT))

    def _read(self, id: str, names: tuple[str, ...]) -> dict[str, Any]:
        """Read those of some arrays that an image has."""
        if id not in self.images.index:
            msg = f"{self.folder}: no image '{id}'"
            raise KeyError(msg)
        path = self.folder / "images" / f"{id}.npz"
        try:
            with np.load(path, allow_pickle=False) as parts:
                return {name: parts[name] for name in names if name in parts}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"is broken ({error})", self.folder) from error

    def pairs_of(self, split: str) -> list[tuple[str, str]]:
        """List the pairs ``(moving, fixed)`` of ``train``, ``val`` or ``test``."""
        return of_split(self.pairs, split)

    @property
    def registered(self) -> list[tuple[str, str]]:
        """The pairs ``(moving, fixed)`` that every method makes fields of: of validation, then of test."""
        return [*self.pairs_of("val"), *self.pairs_of("test")]

    def subject(self, id: str) -> str:
        """Name the independent unit behind an image: its ``subject`` where the dataset tells it, else its id."""
        return self.images.subject[id] or id
