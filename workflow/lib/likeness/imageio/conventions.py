"""Displacement fields as other programs keep them: which there are, and how files say what pair they are of.

Ours is in voxels of the fixed image's prepared grid, component last, and points into the prepared array of the moving
image, ``moved(x) = moving(x + u(x))``.
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
"""Ids of the moving and of the fixed image."""


@dataclass(frozen=True)
class Convention:
    """How fields are kept.

    Attributes:
        looks: what the name of a file looks like, for messages.
        starts, joint: what its name begins with, and what stands between both images.
        suffixes: that it may have; but for ``itk``, the first one is written.
        read: gives a field of ours, ``(*spatial, dims)`` float32, of a path, the moving and the fixed image.
        write: writes one.
    """

    looks: str
    starts: str
    joint: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Placement, Placement], np.ndarray]
    write: Callable[[Path, np.ndarray, Placement, Placement], None]

    def takes(self, name: str) -> bool:
        """Tell whether a file's name is one of a field."""
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
    """Give the names, without suffix, that the file of each pair may have, the one that is written first.

    Args:
        convention: of :data:`CONVENTIONS`.
        pairs: to be named.
        ids: of all images of the dataset.

    Raises:
        DatasetError: if one name would stand for two pairs.
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
        msg = (
            f"{twice}: would be the name of the fields of two pairs; take another convention than learn2reg, or rename "
        )
        raise DatasetError(msg + "the images so that '_' does not join them in two ways")
    return found


def find(folder: Path, convention: str, pairs: Sequence[Pair], ids: Collection[str]) -> dict[Pair, Path]:
    """Find the files of those pairs that a folder has, in the order of the pairs.

    Raises:
        DatasetError: if a pair has two files, or one name would stand for two pairs.
    """
    there = {path.name for path in folder.iterdir()}
    found = {}
    for pair, names in stems(convention, pairs, ids).items():
        mine = [name + end for name in names for end in CONVENTIONS[convention].suffixes if name + end in there]
        if len(mine) > 1:
            msg = f"{folder / mine[0]}: there is {mine[1]} of the same pair too; keep one of them"
            raise DatasetError(msg)
        if mine:
            found[pair] = folder / mine[0]
    return found


def write(folder: Path, convention: str, stem: str, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field of ours into a folder.

    Args:
        folder: that exists.
        convention: of :data:`CONVENTIONS`.
        stem: the first of those that :func:`stems` gives of the pair.
        field: ``(*spatial, dims)``, voxels.
        moving, fixed: where its images lie.

    Raises:
        DatasetError: if the field cannot be had in this convention.
    """
    one = CONVENTIONS[convention]
    end = itk.suffix(fixed) if convention == "itk" else one.suffixes[0]
    one.write(folder / f"{stem}{end}", field, moving, fixed)
