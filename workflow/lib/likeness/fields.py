"""The file format of displacement fields, which every method writes and the scores are computed from.

A run has a folder with a manifest ``fields.json`` and one compressed array per λ and pair,
``<λ>/<moving>+<fixed>.npz``, with ``-`` for methods without λ. An array has the key ``displacement``,
``(*spatial, dims)``, float32, in voxels of the fixed grid, component last, and points into the moving image:
``moved(x) = moving(x + displacement(x))``. Per-pair optimisation stores parameters of a transformation instead, with
the key ``parameters``, ``(*control, dims)``, float32; the manifest describes the transformation that converts them to a
displacement. The manifest also has the outcome of the search for every λ, and the pairs without a field, for which
there are no arrays. There are no arrays either for a λ at which all pairs diverged or whose roughness was not attained.
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
    """Outcome of the search for the fields of one λ.

    Attributes:
        lam: regularisation weight as in tables; ``None`` for methods without λ.
        iterations: length of the search: for a network the step of its weights, otherwise the mean over pairs; ``None``
            if unknown.
        converged: 1 or 0 for a network, otherwise the fraction of pairs that converged; ``None`` if nothing is scored.
        diverged: whether there are no fields because all pairs diverged.
        attained: whether a λ with the wanted roughness was found; if not, nothing is scored.
        multiple: multiple of λ₀, if ``lam`` is a roughness.
        weight: weight of the regulariser in the objective.
        score: mean primary score of the validation pairs, if they were scored.
        pairs: outcome of the search for each pair, for per-pair optimisation.
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
        """Restore from plain types."""
        return cls(**{**plain, "pairs": tuple(PairSearch(**pair) for pair in plain["pairs"])})

    @property
    def empty(self) -> bool:
        """Whether there are no fields."""
        return self.diverged or not self.attained


@dataclass(frozen=True)
class PairSearch:
    """Outcome of the search for the field of one pair.

    Attributes:
        moving, fixed: image ids.
        evaluations: number of evaluations of the objective.
        converged: whether it converged.
        dissimilarity: final value of the loss; NaN if it diverged.
        energy: final energy of the regulariser, without its weight.
    """

    moving: str
    fixed: str
    evaluations: int
    converged: bool
    dissimilarity: float
    energy: float


Given = Callable[[str, str], np.ndarray | None]
"""Function that returns the field ``(*spatial, dims)`` of another run for a pair, in voxels; ``None`` if it has
none."""


def write(folder: Path, lam: float | None, moving: str, fixed: str, displacement: np.ndarray) -> None:
    """Write the field ``(*spatial, dims)``, in voxels, of one λ and pair to the folder of its run."""
    path = place(folder, lam, moving, fixed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, displacement)


def write_parameters(folder: Path, lam: float | None, moving: str, fixed: str, parameters: np.ndarray) -> None:
    """Write the parameters ``(*control, dims)`` of a transformation, in voxels, for one λ and pair."""
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
        folder: folder of the fields.
        shape: spatial shape of the fixed grid.
        searches: outcome for every λ, in the order of tables.
        transformation: transformation, if the arrays are its parameters.
        missing: pairs, moving and fixed id, without a field.
    """
    made = None if transformation is None else {"kind": transformation.kind, "squarings": transformation.squarings}
    found = {"format": FORMAT, "shape": list(shape), "transformation": made, "missing": [list(p) for p in missing]}
    write_json(folder / MANIFEST, {**found, "searches": [asdict(search) for search in searches]})


@dataclass(frozen=True)
class Fields:
    """The fields of a run; open them with :meth:`open`."""

    folder: Path
    shape: tuple[int, ...]
    searches: tuple[Search, ...]
    transformation: Transformation | None = None
    missing: frozenset[tuple[str, str]] = frozenset()
    """Pairs, moving and fixed id, without a field."""

    @classmethod
    def open(cls, folder: str | Path) -> Fields:
        """Read the manifest.

        Raises:
            UserError: if it is missing, damaged or has another format.
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
                msg = "duplicate λ"
                raise ValueError(msg)
            shape, made = tuple(int(size) for size in found["shape"]), found["transformation"]
            if made is not None:
                made = Transformation(made["kind"], shape, int(made["squarings"]))
            missing = frozenset((str(moving), str(fixed)) for moving, fixed in found["missing"])
            return cls(Path(folder), shape, searches, made, missing)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{path}: is not a manifest of displacement fields ({error}); delete {folder} and run again"
            raise UserError(msg) from error

    def read(self, search: Search, moving: str, fixed: str) -> np.ndarray | None:
        """Read the field of one λ and pair.

        Returns:
            ``(*spatial, dims)``, float32, in voxels; ``None`` if the search produced none or the pair has no field.

        Raises:
            UserError: if the file is missing, damaged, or not on the fixed grid.
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
        """Read the parameters of a transformation for one λ and pair, ``(*control, dims)``, float32.

        Raises:
            UserError: if the file is missing or damaged.
        """
        return self._array(search, moving, fixed, PARAMETERS)

    def _array(self, search: Search, moving: str, fixed: str, key: str) -> np.ndarray:
        path = place(self.folder, search.lam, moving, fixed)
        try:
            with np.load(path, allow_pickle=False) as file:
                return file[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"contains no displacement field ({error})", self.folder) from error

    def _displacement(self, parameters: np.ndarray) -> np.ndarray:
        """Convert parameters to a displacement; arrays that are no parameters are returned as they are."""
        assert self.transformation is not None
        if parameters.ndim != len(self.shape) + 1 or parameters.dtype.kind != "f":
            return parameters
        return to_array(self.transformation.displacement(to_tensor(parameters)))


def place(folder: Path, lam: float | None, moving: str, fixed: str) -> Path:
    """Return the path of the array of one λ and pair."""
    # '+' does not occur in ids
    return folder / (ABSENT if lam is None else f"{lam:g}") / f"{moving}+{fixed}.npz"
