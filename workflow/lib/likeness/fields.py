"""The format of displacement fields: the waist through which every method passes on its way to the scores.

A run leaves a folder with a manifest ``fields.json`` and one compressed array for every λ and pair,
``<λ>/<moving>+<fixed>.npz``, ``-`` for λ where the method has none. An array has the key ``displacement``,
``(*spatial, dims)`` float32 in voxels of the fixed grid, component last, and points into the moving image:
``moved(x) = moving(x + displacement(x))``. A method that searches for a transformation leaves what it found instead,
key ``parameters``, ``(*control, dims)`` float32, and the manifest names the transformation that makes a displacement of
them. The manifest says for every λ how the search for its fields ended; a λ at which all pairs diverged, or that stands
for a roughness that was not attained, has no arrays. It also lists the pairs that a method was not asked for or has no
field of; of these there is no array at any λ.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likeness.geometry import to_array, to_tensor
from likeness.imageio.displacement import KEY, save
from likeness.results import ABSENT
from likeness.runtime.atomic import write_json
from likeness.transformations import Transformation
from likeness.userinput.errors import UserError, made_anew

MANIFEST = "fields.json"
FORMAT = 3
PARAMETERS = "parameters"


@dataclass(frozen=True)
class Search:
    """How the search for the fields of one λ ended.

    Attributes:
        lam: the regularisation weight as tables name it; ``None`` for a method without.
        iterations: of the search: of a network, the step its weights are from, otherwise the mean over pairs; ``None``
            where nobody counts.
        converged: of a network 1 or 0, otherwise the share of pairs, for which a longer search would have changed
            nothing that matters; ``None`` where nothing is scored.
        diverged: whether it left no fields.
        attained: whether there is a λ that makes fields as rough as wanted; where not, nothing is scored.
        multiple: of λ₀, where ``lam`` says how rough fields are.
        weight: of the regulariser, the λ of formulas.
        score: mean primary score of the validation pairs, where the search was scored.
        pairs: how the search for each pair ended, where each has one.
    """

    lam: float | None
    iterations: int | None = None
    converged: float | None = None
    diverged: bool = False
    attained: bool = True
    multiple: float | None = None
    weight: float | None = None
    score: float | None = None
    pairs: tuple[PairSearch, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Search:
        """Make one of plain types."""
        return cls(**{**plain, "pairs": tuple(PairSearch(**pair) for pair in plain["pairs"])})

    @property
    def empty(self) -> bool:
        """Whether it left no fields."""
        return self.diverged or not self.attained


@dataclass(frozen=True)
class PairSearch:
    """How the search for the field of one pair ended.

    Attributes:
        moving, fixed: names of the images.
        evaluations: of the objective.
        converged: see :class:`Search`.
        dissimilarity: what the loss says in the end; NaN where it diverged.
        energy: of the regulariser, before its weight.
    """

    moving: str
    fixed: str
    evaluations: int
    converged: bool
    dissimilarity: float
    energy: float


Given = Callable[[str, str], np.ndarray | None]
"""Gives the field ``(*spatial, dims)``, voxels, that something else has of a pair; ``None`` where it has none."""


def write(folder: Path, lam: float | None, moving: str, fixed: str, displacement: np.ndarray) -> None:
    """Write the field ``(*spatial, dims)``, voxels, of one λ and pair into the folder of its run."""
    path = place(folder, lam, moving, fixed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, displacement)


def write_parameters(folder: Path, lam: float | None, moving: str, fixed: str, parameters: np.ndarray) -> None:
    """Write the parameters ``(*control, dims)`` of a transformation, voxels, of one λ and pair."""
    path = place(folder, lam, moving, fixed)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **{PARAMETERS: parameters.astype(np.float32, copy=False)})


def write_manifest(
    folder: Path,
    shape: Sequence[int],
    searches: Sequence[Search],
    transformation: Transformation | None = None,
    missing: Collection[tuple[str, str]] = (),
) -> None:
    """Write the manifest of a run's folder.

    Args:
        folder: with the fields.
        shape: the spatial shape of the fixed grid.
        searches: one for every λ, in the order of tables.
        transformation: where the arrays hold its parameters.
        missing: pairs, moving and fixed, that the method has no field of.
    """
    made = None if transformation is None else {"kind": transformation.kind, "squarings": transformation.squarings}
    found = {"format": FORMAT, "shape": list(shape), "transformation": made, "missing": [list(p) for p in missing]}
    write_json(folder / MANIFEST, {**found, "searches": [asdict(search) for search in searches]})


@dataclass(frozen=True)
class Fields:
    """The fields of a run. Open them with :meth:`open`."""

    folder: Path
    shape: tuple[int, ...]
    searches: tuple[Search, ...]
    transformation: Transformation | None = None
    missing: frozenset[tuple[str, str]] = frozenset()
    """Pairs, moving and fixed, that the method has no field of."""

    @classmethod
    def open(cls, folder: str | Path) -> Fields:
        """Read the manifest.

        Raises:
            UserError: if it is missing, broken or of another format.
        """
        path = Path(folder) / MANIFEST
        try:
            found = json.loads(path.read_bytes())
            if found["format"] != FORMAT:
                msg = f"format {found['format']}, not {FORMAT}"
                raise ValueError(msg)
            searches = tuple(Search.of(search) for search in found["searches"])
            lams = [search.lam if search.lam is None else f"{float(search.lam):g}" for search in searches]
            if len(set(lams)) < len(lams):
                msg = "one λ twice"
                raise ValueError(msg)
            shape, made = tuple(int(size) for size in found["shape"]), found["transformation"]
            if made is not None:
                made = Transformation(made["kind"], shape, int(made["squarings"]))
            missing = frozenset((str(moving), str(fixed)) for moving, fixed in found["missing"])
            return cls(Path(folder), shape, searches, made, missing)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{path}: is no manifest of displacement fields ({error}); delete {folder} and run again"
            raise UserError(msg) from error

    def read(self, search: Search, moving: str, fixed: str) -> np.ndarray | None:
        """Read the field of one λ and pair.

        Returns:
            ``(*spatial, dims)`` float32, voxels; ``None`` where the search left none or the method lacks the pair.

        Raises:
            UserError: if it is missing, broken, or not on the fixed grid.
        """
        if search.empty or (moving, fixed) in self.missing:
            return None
        array = self._array(search, moving, fixed, KEY if self.transformation is None else PARAMETERS)
        displacement = array if self.transformation is None else self._displacement(array)
        wanted = (*self.shape, len(self.shape))
        if displacement.shape != wanted or displacement.dtype.kind != "f":
            msg = f"has {displacement.dtype} of shape {displacement.shape}, but the fixed grid needs floats of shape "
            raise made_anew(place(self.folder, search.lam, moving, fixed), msg + f"{wanted}", self.folder)
        return displacement.astype(np.float32, copy=False)

    def read_parameters(self, search: Search, moving: str, fixed: str) -> np.ndarray:
        """Read what a search for a transformation found for one λ and pair, ``(*control, dims)`` float32.

        Raises:
            UserError: if it is missing or broken.
        """
        return self._array(search, moving, fixed, PARAMETERS)

    def _array(self, search: Search, moving: str, fixed: str, key: str) -> np.ndarray:
        path = place(self.folder, search.lam, moving, fixed)
        try:
            with np.load(path, allow_pickle=False) as file:
                return file[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"holds no displacement field ({error})", self.folder) from error

    def _displacement(self, parameters: np.ndarray) -> np.ndarray:
        """Give the displacement that parameters make; what is no such array is given back."""
        assert self.transformation is not None
        if parameters.ndim != len(self.shape) + 1 or parameters.dtype.kind != "f":
            return parameters
        return to_array(self.transformation.displacement(to_tensor(parameters)))


def place(folder: Path, lam: float | None, moving: str, fixed: str) -> Path:
    """Give the path of the array of one λ and pair."""
    # '+' is no character of a name
    return folder / (ABSENT if lam is None else f"{lam:g}") / f"{moving}+{fixed}.npz"
