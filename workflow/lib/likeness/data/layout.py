"""Layout and validation of a raw dataset folder.

A folder contains ``dataset.yaml`` (keys: :mod:`likeness.config.dataset_file`), ``images.csv`` (one row per image),
optionally ``pairs.csv``, and the files that ``images.csv`` names relative to the folder. :func:`check_tables` reads no
image and imports nothing heavy, so that Snakemake can call it while parsing the workflow;
:func:`likeness.data.contents.check_images` reads all images and caches the result.
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
from likeness.data.store import ATLAS
from likeness.userinput import documents
from likeness.userinput.errors import FAULTS, DatasetError, Faults, plain, refuse_path, shown, suggest

FILES = ("image", "label", "instances", "mask", "unmatched", "field", "landmarks")
"""Columns of ``images.csv`` that hold paths."""
COLUMNS = (*FILES, "id", "split", "subject", "modality", "group", "position")
"""Columns of ``images.csv`` with a defined meaning."""
SCORED = ("label", "instances", "field", "landmarks")
"""Columns of which a scored image needs at least one."""
SUFFIXES = {
    "image": (".png", ".tif", ".tiff", ".nii", ".nii.gz"),
    "field": (".npz", ".nii", ".nii.gz"),
    "landmarks": (".csv",),
}
RESERVED = ("all", "mean")
"""Names that the result tables use for aggregates over labels."""
DEFAULTS: dict[str, Any] = {
    "description": "",
    "labels": {},
    "evaluate": [],
    "kinds": {},
    "background": 0,
    "landmarks": {},
    "accuracy": {},
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
"""Optional keys of ``dataset.yaml`` and their defaults."""

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_NAME = 64
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories of characters that cannot be shown on one line of a table."""


@dataclass(frozen=True)
class RawDataset:
    """The validated tables of a raw dataset folder; no image has been read."""

    folder: Path
    meta: dict[str, Any]
    """``dataset.yaml`` completed with defaults."""
    images: pd.DataFrame
    """``images.csv`` indexed by id; all columns are text, empty where absent, except ``position``: float or NaN."""
    pairs: pd.DataFrame
    """``pairs.csv``: ``split``, ``moving``, ``fixed``; empty if the file does not exist."""

    def file(self, id: str, part: str) -> Path | None:
        """Return the path of a part of an image; ``None`` if the table names none."""
        entry = str(self.images.loc[id, part]) if part in self.images else ""
        return self.folder / entry if entry else None


def check_tables(folder: str | Path) -> RawDataset:
    """Validate a raw dataset folder as far as possible without reading images.

    Keys and types of ``dataset.yaml`` are assumed valid; :mod:`likeness.config.dataset_file` checks them before.

    Raises:
        DatasetError: with one line for every problem. A problem that may only follow from another one, such as a pair
            of an image whose row cannot be read, is told once the other is solved.
    """
    folder = Path(folder)
    described, wrong, listed = (Faults(DatasetError) for _ in range(3))
    meta = _read_meta(folder / "dataset.yaml")
    images = _read_images(folder / "images.csv", wrong)
    readable = not wrong.lines
    raw = RawDataset(folder, meta, images, _read_pairs(folder / "pairs.csv", listed))
    _check_meta(folder / "dataset.yaml", meta, described)
    _check_entries(raw, wrong)
    if readable:
        _check_tests(raw, wrong)
        _check_labels(raw, described)
        _check_subjects(raw, described)
        _check_columns_of_rule(raw, described)
        _check_pairs(raw, listed)
    if not wrong.lines:
        _check_values_of_rule(raw, described)
    _refuse(described, wrong, listed)
    if "position" in images:
        images["position"] = [_number(entry) for entry in images.position]
    _check_drawn(raw, described)
    _check_scorable(raw, wrong)
    _refuse(described, wrong)
    return raw


def capabilities(folder: str | Path) -> dict[str, Any]:
    """Determine from the tables alone what a dataset offers; decides which losses apply.

    Returns:
        ``spatial_dims``: 2 or 3.
        ``parts``: columns of :data:`FILES` in which at least one image has an entry, and ``labels`` if several labels
            are scored.
        ``partly``: parts that losses learn from but that are missing for some images, and therefore not in ``parts``:
            ``label`` if a training or validation image has none, and ``mask`` if only some of the moving, or of the
            fixed, images of the training and validation pairs have one, because the loss of a pair would then depend
            on the other pairs of its batch.
        ``splits``: splits that have images.

        In a dataset of test images only, these take the place of training and validation images.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    raw = check_tables(folder)
    given = {part: raw.images[part].ne("") for part in FILES if part in raw.images}
    given = {part: there for part, there in given.items() if there.any()}
    splits = [split for split in SPLITS if (raw.images.split == split).any()]
    seen = [split for split in splits if split != "test"] or ["test"]
    partly = ["label"] if "label" in given and not given["label"][raw.images.split.isin([*seen, ATLAS])].all() else []
    partly += ["mask"] if "mask" in given and not _on_whole_sides(raw, given["mask"], seen) else []
    parts = [part for part in given if part not in partly]
    parts += ["labels"] if "label" in parts and len(raw.meta["evaluate"]) > 1 else []
    return {"spatial_dims": raw.meta["spatial_dims"], "parts": parts, "partly": partly, "splits": splits}


def _on_whole_sides(raw: RawDataset, there: pd.Series, splits: Sequence[str]) -> bool:
    """Return whether all or none of the moving images of the splits' pairs have a part, and likewise the fixed ones."""
    pairs = np.concatenate([candidates(raw, split) for split in splits])
    sides = [there[pairs[:, side]] for side in (0, 1)]
    return any(side.all() for side in sides) and all(side.all() or not side.any() for side in sides)


def candidates(raw: RawDataset, split: str) -> np.ndarray:
    """Return the pairs ``(pairs, 2)`` of a split as moving and fixed ids, before ``max_pairs`` is applied."""
    listed = raw.pairs[raw.pairs.split == split]
    return listed[["moving", "fixed"]].to_numpy() if len(listed) else pairing.draw(raw.images, raw.meta["pairs"], split)


def states(folder: str | Path) -> str:
    """Return a digest of the tables' content and the path, size and modification time of every file they name.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    return digest_of(check_tables(folder))


def digest_of(raw: RawDataset) -> str:
    """Return a digest of the tables' content and the path, size and modification time of every file they name."""
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
    """Read ``dataset.yaml`` as it is written, without defaults.

    Raises:
        DatasetError: if the folder or file does not exist or is not valid YAML.
    """
    try:
        there = path.parent.is_dir()
    except OSError as error:
        refuse_path(path.parent, error, DatasetError)
    if not there:
        msg = f"{plain(path.parent)}: no such folder; name a folder that contains dataset.yaml and images.csv"
        raise DatasetError(msg)
    if not documents.is_file(path, DatasetError):
        msg = f"{plain(path)}: missing; create it with at least name, spatial_dims, spacing, spacing_unit"
        raise DatasetError(msg)
    return documents.read(path, DatasetError, "name: …", plain_numbers=True)


def _read_meta(path: Path) -> dict[str, Any]:
    meta = {**DEFAULTS, **read_document(path)}
    if meta["intensity"]["rule"] == "quantile":
        meta["intensity"] = {"low": 0.001, "high": 0.999, **meta["intensity"]}
    return meta


def _check_meta(path: Path, meta: dict[str, Any], faults: Faults) -> None:
    """Check ``dataset.yaml`` across its keys."""
    dims, spacing, labels, background = (meta[key] for key in ("spatial_dims", "spacing", "labels", "background"))
    with faults:
        if len(spacing) != dims:
            msg = f"{path}: key 'spacing' has {len(spacing)} entries but spatial_dims is {dims}; give one per axis"
            raise DatasetError(msg)
    for name, count in Counter(labels.values()).items():
        with faults:
            if count > 1 or name in RESERVED:
                msg = "is reserved for aggregates in tables" if name in RESERVED else "is given to two values"
                msg = f"{path}: key 'labels': the name '{plain(name)}' {msg}; give every label a unique name"
                raise DatasetError(msg)
    with faults:
        # without any label, no value is named for one reason
        if not labels and (meta["evaluate"] or meta["kinds"]):
            msg = "evaluate" if meta["evaluate"] else "kinds"
            msg = f"{path}: key 'labels' is missing or empty, but required because '{msg}' has values; name them"
            raise DatasetError(msg)
    for value in meta["evaluate"]:
        with faults:
            if value == background:
                msg = f"{path}: key 'evaluate' has the background {value}; remove it or set 'background: null'"
                raise DatasetError(msg)
            if labels and value not in labels:
                msg = f"{path}: key 'evaluate' has {value}, which 'labels' does not name; "
                raise DatasetError(msg + "add it there or remove it here")
    grouped = Counter(value for values in meta["kinds"].values() for value in values)
    for value, count in grouped.items():
        with faults:
            unnamed = labels and value not in labels
            if unnamed or count > 1:
                msg = "but 'labels' does not name it" if unnamed else "twice"
                msg = f"{path}: key 'kinds' has {value} {msg}; give each label value of 'labels' at most one kind"
                raise DatasetError(msg)
    intensity = meta["intensity"]
    for key in ("low", "high"):
        with faults:
            if key not in intensity:
                msg = f"{path}: key 'intensity.{key}' is missing; the rule range needs the intensities for 0 and 1"
                raise DatasetError(msg)
    with faults:
        rule, low, high = intensity["rule"], intensity.get("low", -np.inf), intensity.get("high", np.inf)
        top = 1 if rule == "quantile" else np.inf
        if not low < high <= top or (top == 1 and low < 0):
            msg = f"{path}: key 'intensity': invalid {rule}, low {low}, high {high}"
            msg += "; give 0 <= low < high <= 1" if top == 1 else "; give intensities low < high"
            raise DatasetError(msg)


def _read_table(path: Path, required: tuple[str, ...], faults: Faults) -> pd.DataFrame:
    """Read a CSV as text; every row must have as many entries as the header, so that no column shifts unnoticed.

    Returns:
        The well-formed rows; none if the header is at fault.
    """
    text = documents.read_text(path, DatasetError)
    try:
        lines = csv.reader(io.StringIO(text, newline=""))
        rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(lines, 1) if any(map(str.strip, row))]
    except csv.Error as error:
        msg = f"{path}: cannot be read as CSV ({plain(error)}); save it as comma-separated text"
        raise DatasetError(msg) from None
    (line, header), *rows = rows or [(1, [])]
    with faults:
        _check_row(path, line, header, len(header))
    if not faults.lines:
        _check_header(path, header, required, faults)
    if faults.lines:
        return pd.DataFrame(columns=list(dict.fromkeys([*header, *required])), dtype=object)
    kept = []
    for line, row in rows:
        with faults:
            _check_row(path, line, row, len(header))
            kept.append(row)
    return pd.DataFrame(kept, columns=header, dtype=object)


def _check_row(path: Path, line: int, row: list[str], columns: int) -> None:
    wrong = next((c for cell in row for c in cell if unicodedata.category(c) in _UNPRINTABLE), None)
    if wrong is not None:
        msg = f"{path}: row {line} has the character {wrong!r}; remove it, and keep every entry on one line"
        raise DatasetError(msg)
    if len(row) != columns:
        msg = f"{path}: row {line} has {len(row)} entries but the header has {columns}; add or remove commas"
        raise DatasetError(msg)


def _check_header(path: Path, header: list[str], required: tuple[str, ...], faults: Faults) -> None:
    missing = [column for column in required if column not in header]
    if "id" in missing and "subject" in header:
        msg = f"{path}: column 'id' is missing, and 'subject' now means the person, animal or specimen; rename "
        raise DatasetError(msg + "'subject' to 'id' and, if present, 'person' to 'subject'")
    semicolons = len(header) == 1 and ";" in header[0]
    # without any column, or in another format, all are missing for one reason
    for column in missing[:1] if semicolons or not header else missing:
        near = difflib.get_close_matches(column, header, n=1)
        with faults:
            msg = f" (found '{near[0]}')" if near else ""
            msg = " (separated by semicolons? use commas)" if semicolons else msg
            msg = f"{path}: column '{column}' is missing{msg}; the header needs {', '.join(required)}"
            raise DatasetError(msg)
    for column, count in Counter(header).items():
        with faults:
            if count > 1:
                msg = f"{path}: column '{column}' occurs twice; rename or remove one"
                raise DatasetError(msg)


def _read_images(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the well-formed rows of ``images.csv`` by id, as text; note what is wrong with header and rows."""
    if not documents.is_file(path, DatasetError):
        former, folder = path.with_name("subjects.csv"), shlex.quote(str(path.parent))
        msg = f"{plain(path)}: missing; write one row per image with the columns id, image, split"
        if documents.is_file(former, DatasetError):
            msg = f"{plain(former)}: was renamed to images.csv, its column 'subject' to 'id', and 'person' to 'subject'"
            msg += f"; run `make upgrade-dataset FOLDER={plain(folder)}`, which renames them"
        raise DatasetError(msg)
    table = _read_table(path, ("id", "image", "split"), faults)
    for column in table.columns:
        with faults:
            _check_column(path, table, column)
    for part in (part for part in FILES if list(table.columns).count(part) == 1):
        table[part] = [_located(path.parent, entry) for entry in table[part]]
    return table.set_index("id")


def _located(folder: Path, entry: str) -> str:
    """Return a path as the file system spells it; unchanged where there is no such file.

    Windows separates folders by backslashes, and macOS decomposes accents, which other systems do not.
    """
    try:
        if not entry or (folder / entry).exists():
            return entry
        found = Path()
        for step in entry.replace("\\", "/").split("/"):
            alike = [step] if (folder / found / step).exists() else _alike(folder / found, step)
            if len(alike) != 1:
                return entry
            found /= alike[0]
        return str(found)
    except (OSError, ValueError):
        # told where the file is missed
        return entry


def _alike(folder: Path, name: str) -> list[str]:
    """Return the names in a folder that differ from a name in how accents are stored."""
    wanted = unicodedata.normalize("NFC", name)
    return [one.name for one in folder.iterdir() if unicodedata.normalize("NFC", one.name) == wanted]


def _check_column(path: Path, table: pd.DataFrame, column: str) -> None:
    """Reject a column that would be ignored although its name resembles one with a meaning."""
    if column.lower().rstrip("s") == "person":
        msg = f"{path}: column '{column}' was renamed to 'subject'; rename it"
        msg += ", or remove it, because 'subject' exists too" if "subject" in table else ""
        raise DatasetError(msg)
    # other columns are the user's own, but these look like known ones and would be silently ignored
    known = next((k for k in COLUMNS if k not in table and k.rstrip("s") == column.lower().rstrip("s")), None)
    if known is not None:
        msg = f"{path}: column '{column}' would be ignored; rename it to '{known}', or to something less similar"
        raise DatasetError(msg)


def _check_entries(raw: RawDataset, faults: Faults) -> None:
    """Check the entries of ``images.csv``, each on its own."""
    path, images = raw.folder / "images.csv", raw.images
    for id, count in Counter(images.index).items():
        with faults:
            if not id or not set(id) <= _NAME_CHARACTERS or id[0] in ".-" or len(id) > _LONGEST_NAME:
                msg = f"{path}: column 'id' has {shown(id)}; use letters, digits, '.', '_' and '-', "
                raise DatasetError(msg + f"starting with a letter, a digit or '_', at most {_LONGEST_NAME} characters")
            if count > 1:
                msg = f"{path}: image '{id}' has two rows; give every image a unique id"
                raise DatasetError(msg)
    for id, split in images.split.items():
        with faults:
            _check_split(path, split, f"image '{id}'", (*SPLITS, ATLAS))
    for id, entry in images.position.items() if "position" in images else ():
        with faults:
            if np.isinf(_number(entry)):
                msg = f"{path}: column 'position' of image '{id}' has {shown(entry)}; give a number or leave it empty"
                raise DatasetError(msg)
    for part in (part for part in FILES if part in images):
        for id, entry in images[part].items():
            with faults:
                _check_file(raw, str(id), part, entry)
    owners: dict[str, Any] = {}
    for id, entry in ((id, entry) for id, entry in images.image.items() if entry):
        with faults:
            other = owners.setdefault(os.path.normpath(entry), id)
            if other != id:
                msg = f"{path}: column 'image' of image '{id}' has the same file as '{other}', '{entry}'; "
                raise DatasetError(msg + "give every image its own file, because pairs would contain it twice")


def _check_split(path: Path, split: str, row: str, known: Sequence[str] = SPLITS) -> None:
    if split not in known:
        msg = f"{path}: column 'split' of {row} has {shown(split)}; {suggest(split, known)}"
        raise DatasetError(msg)


def _number(entry: str) -> float:
    """Return a position, NaN where there is none, infinite where it is no number."""
    try:
        return float(entry or "nan")
    except ValueError:
        return np.inf


def _check_file(raw: RawDataset, id: str, part: str, entry: str) -> None:
    """Check that a file of ``images.csv`` has a supported suffix and exists."""
    endings = SUFFIXES.get(part, SUFFIXES["image"])
    try:
        if not entry and part == "image":
            msg = "is empty; name its file"
        elif not entry:
            return
        elif not entry.lower().endswith(endings):
            msg = f"has '{entry}'; save it in a supported format: {', '.join(endings)}"
        elif not documents.is_file(raw.folder / entry, DatasetError):
            msg = f"has '{entry}', which does not exist in {raw.folder}; add the file or correct the path"
        else:
            return
    except DatasetError as error:
        msg = f"cannot be used, {error}"
    msg = f"{raw.folder / 'images.csv'}: column '{part}' of image '{id}' {msg}"
    raise DatasetError(msg)


def _check_tests(raw: RawDataset, faults: Faults) -> None:
    """Check that there are test images, unless one may be meant by a wrong split."""
    with faults:
        if raw.images.split.isin([*SPLITS[:2], ATLAS]).all():
            msg = f"{raw.folder / 'images.csv'}: split 'test' has no images; only test images are scored in the end, "
            raise DatasetError(msg + "so assign some to it")


def _read_pairs(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the well-formed rows of ``pairs.csv``, none without the file; note what is wrong with header and rows."""
    if not documents.is_file(path, DatasetError):
        return pd.DataFrame({"split": [], "moving": [], "fixed": []}, dtype=object)
    return _read_table(path, ("split", "moving", "fixed"), faults)[["split", "moving", "fixed"]]


def _check_pairs(raw: RawDataset, faults: Faults) -> None:
    """Check the entries of ``pairs.csv``; an unknown image is told of its first pair."""
    path, images = raw.folder / "pairs.csv", raw.images
    # an image whose split is wrong, or which has several rows, crosses no splits
    splits = images.split[images.split.isin(SPLITS) & ~images.index.duplicated(keep=False)].to_dict()
    seen: set[tuple[str, str]] = set()
    unknown: set[str] = set()
    for split, moving, fixed in raw.pairs.itertuples(index=False):
        with faults:
            _check_split(path, split, f"moving '{moving}'")
            other = next((id for id in (moving, fixed) if splits.get(id, split) != split), None)
            strange = next((id for id in (moving, fixed) if id not in images.index and id not in unknown), None)
            if strange is not None:
                unknown.add(strange)
                # to compare with every id takes long, and a long list is cut
                known = images.index if len(unknown) <= FAULTS else ()
                msg = f"names '{strange}', which is not in images.csv; "
                msg += suggest(strange, known, "add it there or remove the pair")
            elif moving == fixed:
                msg = "registers an image with itself; remove it"
            elif other is not None:
                msg = f"crosses splits, because '{other}' is in '{splits[other]}'; remove it or move the image"
            elif (moving, fixed) in seen:
                msg = "is listed twice; remove one"
            else:
                seen.add((moving, fixed))
                continue
            msg = f"{path}: pair '{moving}' to '{fixed}' of split '{split}' {msg}"
            raise DatasetError(msg)


def _check_labels(raw: RawDataset, faults: Faults) -> None:
    """Check that label values are named and evaluated if there are label maps."""
    meta = raw.meta
    if "label" not in raw.images or not raw.images.label.ne("").any():
        return
    # labels that `evaluate` or `kinds` lacks are told as such
    needed = ("evaluate",) if meta["evaluate"] or meta["kinds"] else ("labels", "evaluate")
    for key in needed:
        with faults:
            if not meta[key]:
                msg = f"{raw.folder / 'dataset.yaml'}: key '{key}' is missing or empty, but "
                raise DatasetError(msg + "required because images have label maps")


def _check_subjects(raw: RawDataset, faults: Faults) -> None:
    """Check that no subject is in several splits, unless ``within_subject`` says so."""
    if raw.meta["within_subject"] or "subject" not in raw.images:
        return
    known = raw.images[raw.images.split.isin(SPLITS) & (raw.images.subject != "")]
    for subject, rows in known.groupby("subject", sort=False):
        first = rows.drop_duplicates("split")
        with faults:
            if len(first) > 1:
                (one, split), (other, elsewhere) = list(first.split.items())[:2]
                msg = f"{raw.folder / 'images.csv'}: subject {shown(subject)} is in the splits '{split}' and "
                msg += (
                    f"'{elsewhere}' (images '{one}' and '{other}'), so that what is learned or chosen there is known "
                )
                raise DatasetError(msg + "here; move it into one, or set 'within_subject: true' in dataset.yaml")


def _check_columns_of_rule(raw: RawDataset, faults: Faults) -> None:
    """Check that the pair rule and the intensity rule refer to existing columns, with positions where needed."""
    path, rule, images = raw.folder / "dataset.yaml", raw.meta["pairs"], raw.images
    columns = [(f"pairs.{key}", rule[key]) for key in ("within", "different") if key in rule]
    columns += [(f"pairs.{side}", column) for side in ("moving", "fixed") for column in rule.get(side, {})]
    if "shared_by" in raw.meta["intensity"]:
        columns.append(("intensity.shared_by", raw.meta["intensity"]["shared_by"]))
    columns += [("pairs.max_gap", "position")] if "max_gap" in rule else []
    for key, column in columns:
        with faults:
            if column not in images:
                msg = f"{path}: key '{key}' refers to the column '{plain(column)}', which images.csv does not have; "
                msg += "it was renamed, write 'subject'" if column == "person" else suggest(column, images.columns)
                raise DatasetError(msg)
    for id, entry in images.position.items() if "max_gap" in rule and "position" in images else ():
        with faults:
            if np.isnan(_number(entry)):
                msg = f"{raw.folder / 'images.csv'}: column 'position' of image '{id}' is empty, but key "
                raise DatasetError(msg + "'pairs.max_gap' of dataset.yaml needs it; fill it in")


def _check_values_of_rule(raw: RawDataset, faults: Faults) -> None:
    """Check that some image has each of the values that the pair rule asks for."""
    for side in ("moving", "fixed"):
        for column, value in raw.meta["pairs"].get(side, {}).items():
            with faults:
                if column in raw.images and not pairing.has_value(raw.images[column], value).any():
                    msg = f"{raw.folder / 'dataset.yaml'}: key 'pairs.{side}.{column}' is {shown(value)}, which no "
                    msg += f"image has; {suggest(value, dict.fromkeys(raw.images[column]))}"
                    raise DatasetError(msg)


def _check_drawn(raw: RawDataset, faults: Faults) -> None:
    """Check that every split with images has pairs."""
    for split in SPLITS:
        with faults:
            count = (raw.images.split == split).sum()
            if count == 1 and not (raw.images.split == ATLAS).any():
                msg = f"{raw.folder / 'images.csv'}: split '{split}' has one image, but a pair needs two; add another"
                raise DatasetError(msg)
            if count and not len(candidates(raw, split)):
                msg = f"{raw.folder / 'dataset.yaml'}: key 'pairs' yields no pair in split '{split}'; "
                raise DatasetError(msg + "relax the rule or list pairs in pairs.csv")


def _check_scorable(raw: RawDataset, faults: Faults) -> None:
    """Check that the primary score applies to some pair of validation and of test, where these have pairs at all."""
    table, images = raw.folder / "images.csv", raw.images
    there = {
        part: images[part].ne("") for part in metrics.scored_parts() if part in images and images[part].ne("").any()
    }
    for split in [split for split in ("val", "test") if (images.split == split).any()]:
        with faults:
            if not any(given[images.split == split].any() for given in there.values()):
                msg = f"{table}: split '{split}' cannot be scored; give its images one of {', '.join(SCORED)}"
                raise DatasetError(msg)
            part, given = next(iter(there.items()))
            moving, fixed = candidates(raw, split).T
            scored = given[moving].to_numpy() & given[fixed].to_numpy()
            if part == "field" and "group" in images:
                scored &= images.group[moving].to_numpy() == images.group[fixed].to_numpy()
            if len(scored) and not scored.any():
                msg = f"{table}: column '{part}' determines the score, but no pair of split '{split}' has "
                msg += "an entry for both images, in one group; " if part == "field" else "an entry for both images; "
                raise DatasetError(msg + "fill it in for validation and test, or remove the column")


def _refuse(*noted: Faults) -> None:
    """Refuse a dataset for what was noted of its files, if anything was."""
    faults = Faults(DatasetError)
    for one in noted:
        faults.lines |= one.lines
    faults.refuse()
