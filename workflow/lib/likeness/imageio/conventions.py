"""Conventions of other programs for displacement fields: file names, units and axes.

Internally, fields are in voxels of the fixed image's prepared grid, component last, and point into the prepared array
of the moving image: ``moved(x) = moving(x + u(x))``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.imageio import itk, learn2reg, stored
from likeness.imageio.placement import Placement
from likeness.userinput.errors import DatasetError

Pair = tuple[str, str]
"""Ids of the moving and the fixed image."""


@dataclass(frozen=True)
class Convention:
    """A convention for files of displacement fields.

    Attributes:
        looks: pattern of file names, for messages.
        starts, joint: prefix of file names, and separator of the two ids.
        suffixes: allowed suffixes; the first one is written, except for ``itk``.
        read: function that reads a field ``(*spatial, dims)``, float32, in voxels, given path and both placements.
        write: function that writes one.
    """

    looks: str
    starts: str
    joint: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Placement, Placement], np.ndarray]
    write: Callable[[Path, np.ndarray, Placement, Placement], None]

    def takes(self, name: str) -> bool:
        """Return whether a file name is that of a field."""
        end = next((end for end in self.suffixes if name.endswith(end)), None)
        return end is not None and name.startswith(self.starts) and self.joint in name[len(self.starts) : -len(end)]


CONVENTIONS = {
    "itk": Convention(
        "<moving>+<fixed>.nii.gz, .nii, .mha or .nrrd",
        "",
        "+",
        (".nii.gz", ".nii", ".mha", ".nrrd"),
        itk.read,
        itk.write,
    ),
    "learn2reg": Convention(
        *("disp_<fixed>_<moving>.nii.gz or .npz", "disp_", "_", (".nii.gz", ".npz")), learn2reg.read, learn2reg.write
    ),
    "voxels": Convention("<moving>+<fixed>.npz", "", "+", (".npz",), stored.read, stored.write),
}


def stems(convention: str, pairs: Iterable[Pair], ids: Collection[str]) -> dict[Pair, list[str]]:
    """Return the possible file names of each pair, without suffix; the first one is used for writing.

    Args:
        convention: key of :data:`CONVENTIONS`.
        pairs: pairs of ids.
        ids: ids of all images of the dataset.

    Raises:
        DatasetError: if two pairs would have the same name.
    """
    if convention != "learn2reg":
        return {pair: ["+".join(pair)] for pair in pairs}
    number = learn2reg.numbers(ids)
    found = {
        (moving, fixed): [
            *([f"disp_{number[fixed]}_{number[moving]}"] if {moving, fixed} <= set(number) else []),
            f"disp_{fixed}_{moving}",
        ]
        for moving, fixed in pairs
    }
    found = {pair: list(dict.fromkeys(names)) for pair, names in found.items()}
    twice = next(
        (name for name, n in Counter(name for names in found.values() for name in names).items() if n > 1), None
    )
    if twice is not None:
        msg = f"{twice}: would be the file name of two pairs; use another convention than learn2reg, or rename "
        raise DatasetError(msg + "the images so that '_' joins their ids unambiguously")
    return found


def find(folder: Path, convention: str, pairs: Sequence[Pair], ids: Collection[str]) -> dict[Pair, Path]:
    """Find the files in a folder for as many pairs as possible, in the order of the pairs.

    Raises:
        DatasetError: if a pair has two files, or two pairs would have the same name.
    """
    there = {path.name for path in folder.iterdir()}
    found = {}
    for pair, names in stems(convention, pairs, ids).items():
        mine = [name + end for name in names for end in CONVENTIONS[convention].suffixes if name + end in there]
        if len(mine) > 1:
            msg = f"{folder / mine[0]}: {mine[1]} is of the same pair; keep one of them"
            raise DatasetError(msg)
        if mine:
            found[pair] = folder / mine[0]
    return found


def write(folder: Path, convention: str, stem: str, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field to a folder.

    Args:
        folder: existing folder.
        convention: key of :data:`CONVENTIONS`.
        stem: first name from :func:`stems`.
        field: ``(*spatial, dims)``, in voxels.
        moving, fixed: placements of its images.

    Raises:
        DatasetError: if the field cannot be represented in this convention.
    """
    one = CONVENTIONS[convention]
    end = itk.suffix(fixed) if convention == "itk" else one.suffixes[0]
    one.write(folder / f"{stem}{end}", field, moving, fixed)
