"""Fields computed elsewhere, ranked with all other methods: a folder of files in a convention of other programs.

The conventions are described in :mod:`likeness.imageio.conventions`. Fields of validation pairs are optional, because
nothing is selected on them; if fields of test pairs are missing, the method is compared on the available ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from likeness.imageio import conventions
from likeness.imageio.conventions import CONVENTIONS, Pair
from likeness.methods.kinds import Method
from likeness.userinput.errors import DatasetError, UserError, plain, refuse_path

CARD = {
    "title": "given",
    "order": 880,
    "colour": "#1b6e5a",
    "marker": "*",
    "uses_loss": False,
    "has_lam": False,
    "seeded": False,
    "trained": False,
    "optimised": False,
    "settings": {
        "fields": {
            "description": "Folder with fields computed elsewhere, relative to the project; with a subfolder per "
            "dataset, named as in the study, or without subfolders if the study has a single dataset.",
            "type": "string",
            "minLength": 1,
            "required": True,
        },
        "convention": {
            "description": "File names and units of the fields: itk, in mm, `<moving>+<fixed>.nii.gz`, `.nii`, "
            "`.mha` or `.nrrd`; learn2reg, `disp_<fixed>_<moving>.nii.gz` or `.npz`; voxels, `<moving>+<fixed>.npz` "
            "with the array `displacement`, as a dataset's `field`. Images are named by their ids, for learn2reg also "
            "by the four digits in them.",
            "enum": ["itk", "learn2reg", "voxels"],
            "required": True,
        },
        "colour": {
            "description": 'Colour in figures, such as "#1b6e5a"; by default the next of a fixed list.',
            "type": ["string", "null"],
            "pattern": "^#[0-9a-fA-F]{6}$",
        },
        "marker": {
            "description": "Matplotlib marker in figures; by default the next of a fixed list.",
            "type": ["string", "null"],
            "enum": ["*", "X", "P", "d", "p", "h", "H", "o", "s", "D", "^", "v", "<", ">", "8"],
        },
    },
}
KIND = "given"
"""Kind of methods with the key ``fields``."""
LOOKS = (
    ("#1b6e5a", "*"),
    ("#8a4b08", "X"),
    ("#4b3f72", "P"),
    ("#a1285f", "d"),
    ("#33658a", "p"),
    ("#5b6c21", "h"),
)
"""Default colours and markers of given methods, in order."""
NAMED = 3
"""Maximum number of missing pairs named in a message."""


def dressed(methods: Mapping[str, Method], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """Assign colour and marker to every given method of a study: those of its entry, or the next default."""
    mine = [method for method in methods.values() if method.kind == KIND]
    looks = [LOOKS[place % len(LOOKS)] for place in range(len(mine))]
    return {
        method.name: replace(
            method,
            colour=entries[method.name]["colour"] or colour,
            marker=entries[method.name]["marker"] or marker,
        )
        for method, (colour, marker) in zip(mine, looks, strict=True)
    }


def folder_of(fields: str | Path, dataset: str, datasets: Collection[str]) -> Path | None:
    """Find the folder with the fields of a dataset.

    Args:
        fields: folder named by the study.
        dataset: name of the dataset in the study.
        datasets: names of all datasets of the study.

    Returns:
        The subfolder named like the dataset; without one, the folder itself if the study has a single dataset; ``None``
        if there are no fields of the dataset.
    """
    fields = Path(fields)
    if (fields / dataset).is_dir():
        return fields / dataset
    return fields if len(datasets) == 1 else None


def check(fields: str | Path, convention: str, datasets: Collection[str]) -> None:
    """Check that a folder has fields in a convention for at least one dataset of a study.

    Raises:
        DatasetError: if it cannot be listed or has none.
    """
    fields = Path(fields)
    try:
        # raises if the folder cannot be listed
        sorted(fields.iterdir())
    except OSError as error:
        refuse_path(fields, error, DatasetError)
    found = [folder for dataset in datasets if (folder := folder_of(fields, dataset, datasets)) is not None]
    if not found:
        msg = f"{plain(fields)}: has no subfolder named like one of the study's datasets; put the fields of "
        raise DatasetError(msg + f"each into one, {', '.join(plain(dataset) for dataset in datasets)}")
    for folder in found:
        if not any(CONVENTIONS[convention].takes(path.name) for path in folder.iterdir()):
            msg = f"{plain(folder)}: has no file in the convention '{convention}'; name files like "
            raise DatasetError(msg + CONVENTIONS[convention].looks)


def states(folder: Path, convention: str) -> str:
    """Return a digest of name, size and modification time of every field in a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if CONVENTIONS[convention].takes(path.name)):
        status = path.stat()
        total.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def find(
    folder: Path, convention: str, pairs: Mapping[str, Sequence[Pair]], ids: Collection[str]
) -> tuple[dict[Pair, Path], list[Pair]]:
    """Find the files of all pairs, and the pairs without a file.

    Args:
        folder: folder with the fields.
        convention: key of :data:`likeness.imageio.conventions.CONVENTIONS`.
        pairs: pairs of ``val`` and ``test``.
        ids: ids of all images of the dataset.

    Returns:
        The file of each pair that has one, and the other pairs.

    Raises:
        UserError: if no test pair has a file.
    """
    wanted = [pair for split in pairs.values() for pair in split]
    found = conventions.find(folder, convention, wanted, ids)
    if not any(pair in found for pair in pairs["test"]):
        names = conventions.stems(convention, pairs["test"], ids)[pairs["test"][0]]
        msg = f"{plain(folder)}: has no field of any test pair; the file of the first one would be '{names[0]}' with "
        raise UserError(msg + f"one of the endings {', '.join(CONVENTIONS[convention].suffixes)}")
    return found, [pair for pair in wanted if pair not in found]


def shortfall(folder: Path, test: Sequence[Pair], missing: Collection[Pair]) -> str | None:
    """Describe in a sentence which test pairs have no field; ``None`` if all have one."""
    lacking = [pair for pair in test if pair in missing]
    if not lacking:
        return None
    named = ", ".join(f"'{moving}' to '{fixed}'" for moving, fixed in lacking[:NAMED])
    more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    said = f"{plain(folder)}: lacks {len(lacking)} of {len(test)} test pairs ({named}{more}); it is compared on "
    return said + f"the other {len(test) - len(lacking)}"
