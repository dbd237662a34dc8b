"""The format of displacement fields: the waist through which every method passes on its way to the scores.

A run leaves a folder with a manifest ``fields.json`` and one compressed array for every λ and pair,
``<λ>/<moving>+<fixed>.npz``, ``-`` for λ where the method has none. An array has the key ``displacement``,
``(*spatial, dims)`` float32 in voxels of the fixed grid, component last, and points into the moving image:
``moved(x) = moving(x + displacement(x))``. The manifest says for every λ how the search for its fields ended; a λ that
diverged has no arrays.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from likeness.imageio.displacement import KEY, save
from likeness.results import ABSENT
from likeness.runtime.atomic import write_json
from likeness.userinput.refusals import Refusal, made_anew

MANIFEST = "fields.json"
FORMAT = 1


@dataclass(frozen=True)
class Search:
    """How the search for the fields of one λ ended.

    Attributes:
        lam: the regularisation weight as tables name it; ``None`` for a method without.
        iterations: of the search: of a network, the step its weights are from; ``None`` where nobody counts.
        converged: whether a longer search would have changed nothing that matters; ``None`` where nobody judges.
        diverged: whether it left no fields.
    """

    lam: float | None
    iterations: int | None = None
    converged: bool | None = None
    diverged: bool = False


def write(folder: Path, lam: float | None, moving: str, fixed: str, displacement: np.ndarray) -> None:
    """Write the field ``(*spatial, dims)``, voxels, of one λ and pair into the folder of its run."""
    path = _place(folder, lam, moving, fixed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, displacement)


def write_manifest(folder: Path, shape: Sequence[int], searches: Sequence[Search]) -> None:
    """Write the manifest of a run's folder.

    Args:
        folder: with the fields.
        shape: the spatial shape of the fixed grid.
        searches: one for every λ, in the order of tables.
    """
    found = {"format": FORMAT, "shape": list(shape), "searches": [asdict(search) for search in searches]}
    write_json(folder / MANIFEST, found)


@dataclass(frozen=True)
class Fields:
    """The fields of a run. Open them with :meth:`open`."""

    folder: Path
    shape: tuple[int, ...]
    searches: tuple[Search, ...]

    @classmethod
    def open(cls, folder: str | Path) -> Fields:
        """Read the manifest.

        Raises:
            Refusal: if it is missing, broken or of another format.
        """
        path = Path(folder) / MANIFEST
        try:
            found = json.loads(path.read_bytes())
            if found["format"] != FORMAT:
                msg = f"format {found['format']}, not {FORMAT}"
                raise ValueError(msg)
            searches = tuple(Search(**search) for search in found["searches"])
            lams = [search.lam if search.lam is None else f"{float(search.lam):g}" for search in searches]
            if len(set(lams)) < len(lams):
                msg = "one λ twice"
                raise ValueError(msg)
            return cls(Path(folder), tuple(int(size) for size in found["shape"]), searches)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{path}: is no manifest of displacement fields ({error}); delete {folder} and run again"
            raise Refusal(msg) from error

    def read(self, search: Search, moving: str, fixed: str) -> np.ndarray | None:
        """Read the field of one λ and pair.

        Returns:
            ``(*spatial, dims)`` float32, voxels; ``None`` where the search diverged.

        Raises:
            Refusal: if it is missing, broken, or not on the fixed grid.
        """
        if search.diverged:
            return None
        path = _place(self.folder, search.lam, moving, fixed)
        try:
            with np.load(path, allow_pickle=False) as file:
                displacement = file[KEY]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"holds no displacement field ({error})", self.folder) from error
        wanted = (*self.shape, len(self.shape))
        if displacement.shape != wanted or displacement.dtype.kind != "f":
            msg = f"has {displacement.dtype} of shape {displacement.shape}, but the fixed grid needs floats of shape "
            raise made_anew(path, msg + f"{wanted}", self.folder)
        return displacement.astype(np.float32, copy=False)


def _place(folder: Path, lam: float | None, moving: str, fixed: str) -> Path:
    # '+' is no character of a name
    return folder / (ABSENT if lam is None else f"{lam:g}") / f"{moving}+{fixed}.npz"
