"""Array format of displacements, for true fields of datasets and results of methods.

``.npz`` with the key ``displacement``, ``(*spatial, dims)``, float32, in voxels, component last.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

KEY = "displacement"


def save(path: Path, displacement: np.ndarray, *, compressed: bool = True) -> None:
    """Write a displacement ``(*spatial, dims)``, in voxels."""
    write_archive = np.savez_compressed if compressed else np.savez
    write_archive(path, allow_pickle=False, **{KEY: displacement.astype(np.float32, copy=False)})
