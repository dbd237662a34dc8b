"""A displacement as an array in a file, of a dataset's truth and of what a method found alike.

``.npz`` with the key ``displacement``, ``(*spatial, dims)`` float32, voxels, component last.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

KEY = "displacement"


def save(path: Path, displacement: np.ndarray, *, compressed: bool = True) -> None:
    """Write one displacement ``(*spatial, dims)``."""
    write_archive = np.savez_compressed if compressed else np.savez
    write_archive(path, allow_pickle=False, **{KEY: displacement.astype(np.float32, copy=False)})
