"""The layout of a raw dataset folder, and its refusal in one sentence where something does not fit.

A folder holds ``dataset.yaml`` (keys: :mod:`likeness.config.dataset_file`), ``images.csv`` (one image a row),
optionally ``pairs.csv``, and the files that ``images.csv`` names relative to the folder. :func:`check_tables` reads
no image and imports nothing heavy, so that it can run while the workflow is parsed;
:func:`likeness.data.contents.check_images` reads them all and remembers the verdict.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics
from likeness.data import pairs as pairing
from likeness.data.pairs import SPLITS
from likeness.userinput import documents
from likeness.userinput.errors import DatasetError, plain, refuse_path, shown, suggest

FILES = ("image", "label", "instances", "mask", "unmatched", "field", "landmarks")
"""The columns of ``images.csv`` that hold paths."""
COLUMNS = (*FILES, "id", "split", "subject", "modality", "group", "position")
"""The columns of ``images.csv`` that mean something."""
SCORED = ("label", "instances", "field", "landmarks")
"""The columns of which a scored image needs one."""
SUFFIXES = {
    "image": (".png", ".tif", ".tiff", ".nii", ".nii.gz"),
    "field": (".npz", ".nii", ".nii.gz"),
    "landmarks": (".csv",),
}
RESERVED = ("all", "mean")
"""Names that the tables of results give to sums over labels."""
DEFAULTS: dict[str, Any] = {
    "description": "",
    "labels": {},
    "evaluate": [],
    "kinds": {},
    "background": 0,
    "modality": "",
    "intensity": {"rule": "quantile"},
    "pairs": {},
    "stress_test": False,
    "within_subject": False,
    "licence": "",
    "source": "",
    "citation": "",
    "note": "",
}
"""The keys of ``dataset.yaml`` that may be left out, each with what then stands for it."""

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_NAME = 64
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no table can show in one line."""


@dataclass(frozen=True)
class RawDataset:
    """The tables of a raw dataset folder, checked; no image has been read."""

    folder: Path
    meta: dict[str, Any]
    """``dataset.yaml`` with every optional key at its default."""
    images: pd.DataFrame
    """``images.csv`` indexed by id; text throughout, empty where absent, but ``position`` is a float or NaN."""
    pairs: pd.DataFrame
    """``pairs.csv``: ``split``, ``moving``, ``fixed``; empty where there is none."""

    def file(self, id: str, part: str) -> Path | None:
        """Give the path of a part of an image, or ``None`` where the table names none."""
        entry = str(self.images.loc[id, part]) if part in self.images else ""
        return self.folder / entry if entry else None


def check_tables(folder: str | Path) -> RawDataset:
    """Check all of a raw dataset folder that can be told without reading an image.

    That ``dataset.yaml`` has the keys that it should, and values of the right types, is checked before, by
    :mod:`likeness.config.dataset_file`, while the workflow is parsed.

    Raises:
        DatasetError: at the first thing that does not fit.
    """
    folder = Path(folder)
    meta = _read_meta(folder / "dataset.yaml")
    images = _read_images(folder / "images.csv")
    raw = RawDataset(folder, meta, images, _read_pairs(folder / "pairs.csv", images))
    _check_files(raw)
    _check_subjects(raw)
    _check_rule(raw)
    _check_scorable(raw)
    return raw


def capabilities(folder: str | Path) -> dict[str, Any]:
    """Tell from the tables alone what a dataset offers, so that parsing can decide which losses apply.

    Returns:
        ``spatial_dims``; ``parts``, the columns of :data:`FILES` that at least one image has an entry in, and
        ``labels`` where several are scored; ``partly``, those that losses learn from but that are left out of
        ``parts`` because entries are missing: ``label`` without one for every training and validation image, ``mask``
        where not all moving, or not all fixed, images of the training and validation pairs are alike in having one,
        since the loss of a pair would then depend on the other pairs of its batch; and ``splits``, those that have
        images. Where test images are all there are, they stand for the others.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    raw = check_tables(folder)
    given = {part: raw.images[part].ne("") for part in FILES if part in raw.images}
    given = {part: there for part, there in given.items() if there.any()}
    splits = [split for split in SPLITS if (raw.images.split == split).any()]
    seen = [split for split in splits if split != "test"] or ["test"]
    partly = ["label"] if "label" in given and not given["label"][raw.images.split.isin(seen)].all() else []
    partly += ["mask"] if "mask" in given and not _on_whole_sides(raw, given["mask"], seen) else []
    parts = [part for part in given if part not in partly]
    parts += ["labels"] if "label" in parts and len(raw.meta["evaluate"]) > 1 else []
    return {"spatial_dims": raw.meta["spatial_dims"], "parts": parts, "partly": partly, "splits": splits}


def _on_whole_sides(raw: RawDataset, there: pd.Series, splits: Sequence[str]) -> bool:
    """Tell whether all moving images of the pairs of splits have a part or none has, likewise the fixed ones."""
    pairs = np.concatenate([_candidates(raw, split) for split in splits])
    sides = [there[pairs[:, side]] for side in (0, 1)]
    return any(side.all() for side in sides) and all(side.all() or not side.any() for side in sides)


def _candidates(raw: RawDataset, split: str) -> np.ndarray:
    """Give the pairs ``(pairs, 2)`` of a split, moving and fixed, before ``max_pairs``."""
    listed = raw.pairs[raw.pairs.split == split]
    return listed[["moving", "fixed"]].to_numpy() if len(listed) else pairing.draw(raw.images, raw.meta["pairs"], split)


def states(folder: str | Path) -> str:
    """Digest the tables' content and the path, size and modification time of every file they name.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    return digest_of(check_tables(folder))


def digest_of(raw: RawDataset) -> str:
    """Digest tables that were checked, see :func:`states`."""
    total = hashlib.sha256()
    tables = [raw.folder / name for name in ("dataset.yaml", "images.csv", "pairs.csv")]
    for path in (t for t in tables if t.is_file()):
        total.update(path.read_bytes())
    named = {file for id in raw.images.index for part in FILES if (file := raw.file(id, part))}
    for path in sorted(named):
        status = path.stat()
        total.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def read_document(path: Path) -> dict[Any, Any]:
    """Read ``dataset.yaml`` as it is written.

    Raises:
        DatasetError: if there is no such folder or file, or it is no YAML.
    """
    try:
        there = path.parent.is_dir()
    except OSError as error:
        refuse_path(path.parent, error, DatasetError)
    if not there:
        msg = f"{plain(path.parent)}: no such folder; name a folder that holds dataset.yaml and images.csv"
        raise DatasetError(msg)
    if not documents.is_file(path, DatasetError):
        msg = f"{plain(path)}: missing; write it with at least name, spatial_dims, spacing, spacing_unit"
        raise DatasetError(msg)
    return documents.read(path, DatasetError, "name: …")


def _read_meta(path: Path) -> dict[str, Any]:
    meta = {**DEFAULTS, **read_document(path)}
    if meta["intensity"]["rule"] == "quantile":
        meta["intensity"] = {"low": 0.001, "high": 0.999, **meta["intensity"]}
    _check_meta(path, meta)
    return meta


def _check_meta(path: Path, meta: dict[str, Any]) -> None:
    dims, spacing, labels = meta["spatial_dims"], meta["spacing"], meta["labels"]
    if len(spacing) != dims:
        msg = f"{path}: key 'spacing' has {len(spacing)} entries but spatial_dims is {dims}; give one for each axis"
        raise DatasetError(msg)
    for name, count in Counter(labels.values()).items():
        if count > 1 or name in RESERVED:
            msg = "stands for a sum over labels in the tables" if name in RESERVED else "is given to two values"
            msg = f"{path}: key 'labels': the name '{plain(name)}' {msg}; give every label a name of its own"
            raise DatasetError(msg)
    unknown = [value for value in meta["evaluate"] if value not in labels]
    if unknown:
        msg = f"{path}: key 'evaluate' has {unknown[0]}, which 'labels' does not name; add it there or take it out"
        raise DatasetError(msg)
    if meta["background"] is not None and meta["background"] in meta["evaluate"]:
        msg = f"{path}: key 'evaluate' has the background {meta['background']}; take it out or set 'background: null'"
        raise DatasetError(msg)
    grouped = Counter(value for values in meta["kinds"].values() for value in values)
    for value, count in grouped.items():
        if value not in labels or count > 1:
            msg = "twice" if value in labels else "but 'labels' does not name it"
            msg = f"{path}: key 'kinds' has {value} {msg}; give each label value of 'labels' at most one kind"
            raise DatasetError(msg)
    intensity = meta["intensity"]
    for key in ("low", "high"):
        if key not in intensity:
            msg = f"{path}: key 'intensity.{key}' is missing; the rule range needs the intensity that becomes 0 or 1"
            raise DatasetError(msg)
    top = 1 if intensity["rule"] == "quantile" else np.inf
    if not intensity["low"] < intensity["high"] <= top or (top == 1 and intensity["low"] < 0):
        msg = f"{path}: key 'intensity': low {intensity['low']} and high {intensity['high']} are no {intensity['rule']}"
        msg += "; give 0 <= low < high <= 1" if top == 1 else "; give intensities low < high"
        raise DatasetError(msg)


def _read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV as text; rows must have as many entries as the header, since a shift would go unnoticed."""
    text = documents.read_text(path, DatasetError)
    try:
        lines = csv.reader(io.StringIO(text, newline=""))
        rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(lines, 1) if any(map(str.strip, row))]
    except csv.Error as error:
        msg = f"{path}: cannot be read as CSV ({plain(error)}); save it as comma-separated text"
        raise DatasetError(msg) from None
    header = rows[0][1] if rows else []
    for line, row in rows:
        wrong = next((c for cell in row for c in cell if unicodedata.category(c) in _UNPRINTABLE), None)
        if wrong is not None:
            msg = f"{path}: row {line} has the character {wrong!r}; take it out, and keep every entry on one line"
            raise DatasetError(msg)
    _check_header(path, header, required)
    for line, row in rows[1:]:
        if len(row) != len(header):
            msg = f"{path}: row {line} has {len(row)} entries but the header has {len(header)}; add or remove commas"
            raise DatasetError(msg)
    return pd.DataFrame([row for _, row in rows[1:]], columns=header, dtype=object)


def _check_header(path: Path, header: list[str], required: tuple[str, ...]) -> None:
    missing = next((c for c in required if c not in header), None)
    if missing == "id" and "subject" in header:
        msg = f"{path}: column 'id' is missing, and 'subject' stands for the person, animal or specimen now; rename "
        raise DatasetError(msg + "'subject' to 'id' and, if it is there, 'person' to 'subject'")
    if missing:
        near = difflib.get_close_matches(missing, header, n=1)
        msg = f" ('{near[0]}' is there)" if near else ""
        if len(header) == 1 and ";" in header[0]:
            msg = " (separated by semicolons? use commas)"
        msg = f"{path}: column '{missing}' is missing{msg}; the header needs {', '.join(required)}"
        raise DatasetError(msg)
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        msg = f"{path}: column '{twice}' is there twice; rename or remove one"
        raise DatasetError(msg)


def _read_images(path: Path) -> pd.DataFrame:
    if not documents.is_file(path, DatasetError):
        former, folder = path.with_name("subjects.csv"), shlex.quote(str(path.parent))
        msg = f"{plain(path)}: missing; write one row an image with the columns id, image, split"
        if documents.is_file(former, DatasetError):
            msg = f"{plain(former)}: is called images.csv now, its column 'subject' is 'id', and 'person' is 'subject'"
            msg += f"; run `make upgrade-dataset FOLDER={plain(folder)}`, which renames them"
        raise DatasetError(msg)
    table = _read_table(path, ("id", "image", "split"))
    _check_columns(path, table)
    for id in table.id:
        if not id or not set(id) <= _NAME_CHARACTERS or id[0] in ".-" or len(id) > _LONGEST_NAME:
            msg = f"{path}: column 'id' has {shown(id)}; use letters, digits, '.', '_' and '-', "
            raise DatasetError(msg + f"first a letter, a digit or '_', at most {_LONGEST_NAME}")
    twice = table.id[table.id.duplicated()]
    if len(twice):
        msg = f"{path}: image '{twice.iloc[0]}' has two rows; give every image an id of its own"
        raise DatasetError(msg)
    _check_splits(path, table, "id", "image")
    if not (table.split == "test").any():
        msg = f"{path}: split 'test' has no image; scores are of those, so move some there"
        raise DatasetError(msg)
    if "position" in table:
        table["position"] = [_number(path, *row) for row in zip(table.id, table.position, strict=True)]
    return table.set_index("id")


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    """Refuse columns that would be ignored although their names say that they mean something."""
    for column in table.columns:
        if column.lower().rstrip("s") == "person":
            msg = f"{path}: column '{column}' is called 'subject' now; rename it"
            msg += ", or take it out, since 'subject' is there too" if "subject" in table else ""
            raise DatasetError(msg)
        # other columns are the user's own, but these would be taken for files that are then not read
        known = next((k for k in COLUMNS if k not in table and k.rstrip("s") == column.lower().rstrip("s")), None)
        if known is not None:
            msg = f"{path}: column '{column}' would not be read; rename it to '{known}', or to something less like it"
            raise DatasetError(msg)


def _check_splits(path: Path, table: pd.DataFrame, column: str, what: str) -> None:
    """Check the splits of a table; a message names the row as ``what`` by its entry in a column."""
    wrong = table[~table.split.isin(SPLITS)]
    if len(wrong):
        split = wrong.split.iloc[0]
        msg = f"{path}: column 'split' of {what} '{wrong[column].iloc[0]}' has {shown(split)}; {suggest(split, SPLITS)}"
        raise DatasetError(msg)


def _number(path: Path, id: str, entry: str) -> float:
    try:
        value = float(entry or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        msg = f"{path}: column 'position' of image '{id}' has {shown(entry)}; give a number or leave it empty"
        raise DatasetError(msg)
    return value


def _read_pairs(path: Path, images: pd.DataFrame) -> pd.DataFrame:
    if not documents.is_file(path, DatasetError):
        return pd.DataFrame({"split": [], "moving": [], "fixed": []}, dtype=object)
    table = _read_table(path, ("split", "moving", "fixed"))[["split", "moving", "fixed"]]
    _check_splits(path, table, "moving", "moving")
    splits = images.split.to_dict()
    seen = set()
    for split, moving, fixed in table.itertuples(index=False):
        unknown = next((s for s in (moving, fixed) if s not in splits), None)
        if unknown is not None:
            msg = f"names '{unknown}', which images.csv does not; "
            msg += suggest(unknown, images.index, "add it there or remove the pair")
        elif moving == fixed:
            msg = "registers an image to itself; remove it"
        elif splits[moving] != split or splits[fixed] != split:
            other = moving if splits[moving] != split else fixed
            msg = f"crosses splits, since '{other}' is in '{splits[other]}'; remove it or move the image"
        elif (moving, fixed) in seen:
            msg = "is listed twice; remove one"
        else:
            seen.add((moving, fixed))
            continue
        msg = f"{path}: pair '{moving}' to '{fixed}' of split '{split}' {msg}"
        raise DatasetError(msg)
    return table


def _check_files(raw: RawDataset) -> None:
    table = raw.folder / "images.csv"
    for part in (part for part in FILES if part in raw.images):
        endings = SUFFIXES.get(part, SUFFIXES["image"])
        for id, entry in raw.images[part].items():
            if not entry and part == "image":
                msg = "is empty; name its file"
            elif not entry:
                continue
            elif not entry.lower().endswith(endings):
                msg = f"has '{entry}'; save it in a format that is read here: {', '.join(endings)}"
            elif not documents.is_file(raw.folder / entry, DatasetError):
                msg = f"has '{entry}', which does not exist in {raw.folder}; add the file or correct the path"
            else:
                continue
            msg = f"{table}: column '{part}' of image '{id}' {msg}"
            raise DatasetError(msg)
    owners: dict[str, Any] = {}
    for id, entry in raw.images.image.items():
        other = owners.setdefault(os.path.normpath(entry), id)
        if other != id:
            msg = f"{table}: column 'image' of image '{id}' has the file of '{other}', '{entry}'; "
            raise DatasetError(msg + "give every image a file of its own, since pairs would hold it twice")
    if "label" in raw.images and raw.images.label.ne("").any():
        for key in ("labels", "evaluate"):
            if not raw.meta[key]:
                msg = f"{raw.folder / 'dataset.yaml'}: key '{key}' is missing or empty, but is "
                raise DatasetError(msg + "needed where images have label maps")


def _check_subjects(raw: RawDataset) -> None:
    """Check that the images are of one subject where the dataset says so."""
    named = sorted(set(raw.images.subject) - {""}) if "subject" in raw.images else []
    if raw.meta["within_subject"] and len(named) > 1:
        msg = f"{raw.folder / 'dataset.yaml'}: key 'within_subject' says that all images are of one specimen, but "
        two = f"{shown(named[0])} and {shown(named[1])}"
        raise DatasetError(msg + f"column 'subject' of images.csv has {two}; correct one of them")


def _check_scorable(raw: RawDataset) -> None:
    """Check that the best score that any image allows can be given to pairs of both splits that are scored."""
    table, images = raw.folder / "images.csv", raw.images
    there = {
        part: images[part].ne("") for part in metrics.scored_parts() if part in images and images[part].ne("").any()
    }
    for split in [split for split in ("val", "test") if (images.split == split).any()]:
        if not any(given[images.split == split].any() for given in there.values()):
            msg = f"{table}: split '{split}' could not be scored; give its images one of {', '.join(SCORED)}"
            raise DatasetError(msg)
        part, given = next(iter(there.items()))
        moving, fixed = _candidates(raw, split).T
        scored = given[moving].to_numpy() & given[fixed].to_numpy()
        if part == "field" and "group" in images:
            scored &= images.group[moving].to_numpy() == images.group[fixed].to_numpy()
        if not scored.any():
            msg = f"{table}: column '{part}' decides the score, but no pair of split '{split}' has two entries"
            msg += " in one group; " if part == "field" else "; "
            raise DatasetError(msg + "fill it in for validation and test, or remove the column")


def _check_rule(raw: RawDataset) -> None:
    """Check that the rule names what there is, and that every split has pairs."""
    path, rule, images = raw.folder / "dataset.yaml", raw.meta["pairs"], raw.images
    columns = {f"pairs.{key}": rule[key] for key in ("within", "different") if key in rule}
    columns |= {f"pairs.{side}": column for side in ("moving", "fixed") for column in rule.get(side, {})}
    if "shared_by" in raw.meta["intensity"]:
        columns["intensity.shared_by"] = raw.meta["intensity"]["shared_by"]
    columns |= {"pairs.max_gap": "position"} if "max_gap" in rule else {}
    for key, column in columns.items():
        if column not in images:
            msg = f"{path}: key '{key}' needs the column '{plain(column)}', which images.csv lacks; "
            msg += "it is called 'subject' now, write that" if column == "person" else suggest(column, images.columns)
            raise DatasetError(msg)
    for side in ("moving", "fixed"):
        for column, value in rule.get(side, {}).items():
            if not pairing.has_value(images[column], value).any():
                msg = f"{path}: key 'pairs.{side}.{column}' is {shown(value)}, which no image has; "
                raise DatasetError(msg + suggest(value, dict.fromkeys(images[column])))
    if "max_gap" in rule and images.position.isna().any():
        id = images.index[images.position.isna()][0]
        msg = f"{raw.folder / 'images.csv'}: column 'position' of image '{id}' is empty, but key "
        raise DatasetError(msg + "'pairs.max_gap' of dataset.yaml needs it; fill it in")
    for split in SPLITS:
        if (images.split == split).sum() == 1:
            msg = f"{raw.folder / 'images.csv'}: split '{split}' has one image; a pair needs two, add another"
            raise DatasetError(msg)
        if (images.split == split).any() and not len(_candidates(raw, split)):
            msg = f"{path}: key 'pairs' gives no pair in split '{split}'; loosen the rule or list pairs in pairs.csv"
            raise DatasetError(msg)
