"""Fields that somebody made elsewhere, ranked beside all others: a folder, in a convention that other programs know.

Its files are read as :mod:`likeness.imageio.conventions` says. Of validation pairs, by which nothing is chosen, none
need be there; where some of the test pairs are missing, the method is compared on those that are.
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
            "description": "Folder with fields that somebody made elsewhere, relative to the project; with a subfolder "
            "for every dataset that it has fields of, by the dataset's name, or none where the study has one dataset.",
            "type": "string",
            "minLength": 1,
            "required": True,
        },
        "convention": {
            "description": "How the fields are kept: itk, in mm, `<moving>+<fixed>.nii.gz`, `.nii`, `.mha` or `.nrrd`; "
            "learn2reg, `disp_<fixed>_<moving>.nii.gz` or `.npz`; voxels, `<moving>+<fixed>.npz` with the array "
            "`displacement`, as a dataset's `field`. Images are named by their ids, for learn2reg also by the four "
            "digits in them.",
            "enum": ["itk", "learn2reg", "voxels"],
            "required": True,
        },
        "colour": {
            "description": 'Colour in figures, as "#1b6e5a"; by default the next of a few.',
            "type": ["string", "null"],
            "pattern": "^#[0-9a-fA-F]{6}$",
        },
        "marker": {
            "description": "Marker in figures, as Matplotlib calls it; by default the next of a few.",
            "type": ["string", "null"],
            "enum": ["*", "X", "P", "d", "p", "h", "H", "o", "s", "D", "^", "v", "<", ">", "8"],
        },
    },
}
KIND = "given"
"""The kind of a method that has ``fields``."""
LOOKS = (
    ("#1b6e5a", "*"),
    ("#8a4b08", "X"),
    ("#4b3f72", "P"),
    ("#a1285f", "d"),
    ("#33658a", "p"),
    ("#5b6c21", "h"),
)
"""Colour and marker of one given method after another, where the study does not say them."""
NAMED = 3
"""Most missing pairs that a message names."""


def dressed(methods: Mapping[str, Method], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """Give every given method of a study a colour and a marker: those of its entry, or the next ones that are free."""
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
        fields: the folder that the study names.
        dataset: what the study calls the dataset.
        datasets: all that it names.

    Returns:
        The subfolder of the dataset's name, or the folder itself where the study has no other dataset, and it no such
        subfolder; ``None`` where it has no fields of the dataset.
    """
    fields = Path(fields)
    if (fields / dataset).is_dir():
        return fields / dataset
    return fields if len(datasets) == 1 else None


def check(fields: str | Path, convention: str, datasets: Collection[str]) -> None:
    """Check that a folder has fields of a convention for some dataset of a study.

    Raises:
        DatasetError: if not.
    """
    fields = Path(fields)
    try:
        # tells why a folder cannot be listed
        sorted(fields.iterdir())
    except OSError as error:
        refuse_path(fields, error, DatasetError)
    found = [folder for dataset in datasets if (folder := folder_of(fields, dataset, datasets)) is not None]
    if not found:
        msg = (
            f"{plain(fields)}: the study has several datasets, and none has a subfolder of its name; put the fields of "
        )
        raise DatasetError(msg + f"each into one, {', '.join(plain(dataset) for dataset in datasets)}")
    for folder in found:
        if not any(CONVENTIONS[convention].takes(path.name) for path in folder.iterdir()):
            msg = f"{plain(folder)}: has no file of the convention '{convention}'; call them "
            raise DatasetError(msg + CONVENTIONS[convention].looks)


def states(folder: Path, convention: str) -> str:
    """Digest name, size and modification time of every field in a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if CONVENTIONS[convention].takes(path.name)):
        status = path.stat()
        total.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def find(
    folder: Path, convention: str, pairs: Mapping[str, Sequence[Pair]], ids: Collection[str]
) -> tuple[dict[Pair, Path], list[Pair]]:
    """Find the files of all pairs, and the pairs that have none.

    Args:
        folder: with the fields.
        convention: of :data:`likeness.imageio.conventions.CONVENTIONS`.
        pairs: by split, ``val`` and ``test``.
        ids: of all images of the dataset.

    Raises:
        UserError: if no test pair has a file.
    """
    wanted = [pair for split in pairs.values() for pair in split]
    found = conventions.find(folder, convention, wanted, ids)
    if not any(pair in found for pair in pairs["test"]):
        names = conventions.stems(convention, pairs["test"], ids)[pairs["test"][0]]
        msg = (
            f"{plain(folder)}: has no field of any test pair; the first one's file would be called '{names[0]}', with "
        )
        raise UserError(msg + f"one of the endings {', '.join(CONVENTIONS[convention].suffixes)}")
    return found, [pair for pair in wanted if pair not in found]


def shortfall(folder: Path, test: Sequence[Pair], missing: Collection[Pair]) -> str | None:
    """Say in a sentence which test pairs a folder lacks; ``None`` where it has all."""
    lacking = [pair for pair in test if pair in missing]
    if not lacking:
        return None
    named = ", ".join(f"'{moving}' to '{fixed}'" for moving, fixed in lacking[:NAMED])
    more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    said = (
        f"{plain(folder)}: lacks {len(lacking)} of {len(test)} test pairs ({named}{more}), so that it is compared on "
    )
    return said + f"the other {len(test) - len(lacking)}"
