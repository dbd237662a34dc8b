"""The layout of a raw dataset folder, and its refusal in one sentence where something does not fit.

A folder holds ``dataset.yaml`` (keys: ``workflow/schemas/dataset.schema.yaml``), ``subjects.csv`` (one image a row),
optionally ``pairs.csv``, and the files that ``subjects.csv`` names relative to the folder. :func:`check_tables` reads
no image and imports nothing heavy, so that it can run while the workflow is parsed; :func:`check_images` reads them all
and remembers the verdict.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import yaml

from likeness.data import pairs as pairing
from likeness.data.pairs import SPLITS
from likeness.files import write_json

FILES = ("image", "label", "instances", "mask", "unmatched", "field", "landmarks")
"""The columns of ``subjects.csv`` that hold paths."""
SCORED = ("label", "instances", "field", "landmarks")
"""The columns of which a scored subject needs one."""
SUFFIXES = {
    "image": (".png", ".tif", ".tiff", ".nii", ".nii.gz"),
    "field": (".npz", ".nii", ".nii.gz"),
    "landmarks": (".csv",),
}
RESERVED = ("all", "mean")
"""Names that the tables of results give to sums over labels."""

_SCHEMA = Path(__file__).parents[3] / "schemas" / "dataset.schema.yaml"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class DatasetError(ValueError):
    """A dataset that cannot be used; the message is one sentence that names the file, the key and the mend."""


@dataclass(frozen=True)
class RawDataset:
    """The tables of a raw dataset folder, checked; no image has been read."""

    folder: Path
    meta: dict[str, Any]
    """``dataset.yaml`` with every optional key at its default."""
    subjects: pd.DataFrame
    """``subjects.csv`` indexed by subject; text throughout, empty where absent, but ``position`` is a float or NaN."""
    pairs: pd.DataFrame
    """``pairs.csv``: ``split``, ``moving``, ``fixed``; empty where there is none."""

    def file(self, subject: str, part: str) -> Path | None:
        """Give the path of a part of a subject, or ``None`` where the table names none."""
        entry = str(self.subjects.loc[subject, part]) if part in self.subjects else ""
        return self.folder / entry if entry else None


def check(folder: str | Path) -> RawDataset:
    """Check a raw dataset folder completely, tables and images.

    Raises:
        DatasetError: at the first thing that does not fit.
    """
    from likeness.data import contents

    raw = check_tables(folder)
    contents.check(raw)
    return raw


def check_tables(folder: str | Path) -> RawDataset:
    """Check all of a raw dataset folder that can be told without reading an image.

    Raises:
        DatasetError: at the first thing that does not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = f"{folder}: no such folder; name a folder that holds dataset.yaml and subjects.csv"
        raise DatasetError(msg)
    meta = _read_meta(folder / "dataset.yaml")
    subjects = _read_subjects(folder / "subjects.csv")
    raw = RawDataset(folder, meta, subjects, _read_pairs(folder / "pairs.csv", subjects))
    _check_files(raw)
    _check_scorable(raw)
    _check_rule(raw)
    return raw


def check_images(folder: str | Path, cache: Path) -> None:
    """Check what :func:`check_tables` does and every image, unless nothing changed since the last good verdict.

    Args:
        folder: the raw dataset folder.
        cache: a JSON file of good verdicts, shared by all datasets; made if absent. A verdict holds for the tables'
            content, the path, size and modification time of every file they name, and the code of the check.

    Raises:
        DatasetError: at the first thing that does not fit.
    """
    raw = check_tables(folder)
    key = str(raw.folder.resolve())
    verdicts = json.loads(cache.read_text()) if cache.is_file() else {}
    code = [Path(__file__).with_name(name).read_bytes() for name in ("layout.py", "contents.py", "images.py")]
    state = hashlib.sha256(b"".join([_digest(raw).encode(), *code])).hexdigest()
    if verdicts.get(key) == state:
        return
    from likeness.data import contents

    contents.check(raw)
    write_json(cache, verdicts | {key: state})


def capabilities(folder: str | Path) -> dict[str, Any]:
    """Tell from the tables alone what a dataset offers, so that parsing can decide which losses apply.

    Returns:
        ``spatial_dims`` and ``parts``, the columns of :data:`FILES` that at least one subject has an entry in;
        ``label`` only where every training and validation subject has one, because losses learn from all of them.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    raw = check_tables(folder)
    given = {part: raw.subjects[part].ne("") for part in FILES if part in raw.subjects}
    learnt = raw.subjects.split.isin(["train", "val"])
    parts = [part for part, there in given.items() if (there[learnt].all() if part == "label" else there.any())]
    return {"spatial_dims": raw.meta["spatial_dims"], "parts": parts}


def states(folder: str | Path) -> str:
    """Digest the tables' content and the path, size and modification time of every file they name.

    Raises:
        DatasetError: as :func:`check_tables`.
    """
    return _digest(check_tables(folder))


def suggest(word: object, known: Iterable[str]) -> str:
    """Phrase the nearest known word as a question, or list the known ones."""
    known = [str(k) for k in known]
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"


def _digest(raw: RawDataset) -> str:
    digest = hashlib.sha256()
    tables = [raw.folder / name for name in ("dataset.yaml", "subjects.csv", "pairs.csv")]
    for path in (t for t in tables if t.is_file()):
        digest.update(path.read_bytes())
    named = {file for subject in raw.subjects.index for part in FILES if (file := raw.file(subject, part))}
    for path in sorted(named):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key given twice is an error instead of a silent override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
        if twice is not None:
            line = node.start_mark.line + 1
            msg = f"key '{twice}' is given twice in the block that starts on line {line}; keep one of them"
            raise DatasetError(msg)
        return super().construct_mapping(node, deep)


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return yaml.load(_SCHEMA.read_text(), Loader=_Loader)


def _read_meta(path: Path) -> dict[str, Any]:
    if not path.is_file():
        msg = f"{path}: missing; write it with at least {', '.join(_schema()['required'])}"
        raise DatasetError(msg)
    try:
        meta = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (DatasetError, yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path}: {' '.join(str(error).split())}"
        raise DatasetError(msg) from None
    if not isinstance(meta, dict):
        msg = f"{path}: is not a table of keys and values; write 'name: …' on the first line"
        raise DatasetError(msg)
    _check_schema(path, meta)
    defaults = {key: entry["default"] for key, entry in _schema()["properties"].items() if "default" in entry}
    meta = {**defaults, **meta}
    meta["intensity"] = {"low": 0.001, "high": 0.999, **meta["intensity"]}
    _check_meta(path, meta)
    return meta


def _check_schema(path: Path, meta: dict[str, Any]) -> None:
    labels = meta.get("labels")
    if isinstance(labels, dict):
        wrong = next((k for k in labels if not isinstance(k, int) or isinstance(k, bool)), None)
        if wrong is not None:
            msg = f"{path}: key 'labels' has the entry '{wrong}', which is no whole number; "
            raise DatasetError(msg + "write '1: name' without quotes")
        # JSON knows text keys only
        meta = {**meta, "labels": {str(k): v for k, v in labels.items()}}
    errors = list(jsonschema.Draft202012Validator(_schema()).iter_errors(meta))
    if not errors:
        return
    # a misspelt key is also a missing one; the misspelling is what to tell
    error = next((e for e in errors if e.validator == "additionalProperties"), errors[0])
    where = ".".join(str(step) for step in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        wrong = next(k for k in error.instance if k not in known)
        msg = f"{path}: unknown key '{where + '.' if where else ''}{wrong}'; {suggest(wrong, known)}"
    elif error.validator == "required":
        missing = next(k for k in error.schema["required"] if k not in error.instance)
        meaning = error.schema["properties"][missing]["description"]
        msg = f"{path}: key '{where + '.' if where else ''}{missing}' is missing; it is: {meaning}"
    else:
        msg = f"{path}: key '{where}': {error.message}; it is: {_meaning(error)}"
    raise DatasetError(msg)


def _meaning(error: jsonschema.ValidationError) -> str:
    """Find the description nearest above the value that failed."""
    place: Any = _schema()
    meaning = place["description"]
    for step in error.absolute_path:
        place = place.get("properties", {}).get(step) or place.get("additionalProperties") or place.get("items") or {}
        meaning = place.get("description", meaning)
    return meaning.strip()


def _check_meta(path: Path, meta: dict[str, Any]) -> None:
    dims, spacing, labels = meta["spatial_dims"], meta["spacing"], meta["labels"]
    if len(spacing) != dims:
        msg = f"{path}: key 'spacing' has {len(spacing)} entries but spatial_dims is {dims}; give one for each axis"
        raise DatasetError(msg)
    names = list(labels.values())
    for name in names:
        if names.count(name) > 1 or name in RESERVED:
            why = "stands for a sum over labels in the tables" if name in RESERVED else "is given to two values"
            msg = f"{path}: key 'labels': the name '{name}' {why}; give every label a name of its own"
            raise DatasetError(msg)
    unknown = [value for value in meta["evaluate"] if value not in labels]
    if unknown:
        msg = f"{path}: key 'evaluate' has {unknown[0]}, which 'labels' does not name; add it there or take it out"
        raise DatasetError(msg)
    if meta["background"] is not None and meta["background"] in meta["evaluate"]:
        msg = f"{path}: key 'evaluate' has the background {meta['background']}; take it out or set 'background: null'"
        raise DatasetError(msg)
    grouped = [value for values in meta["kinds"].values() for value in values]
    for value in grouped:
        if value not in labels or grouped.count(value) > 1:
            why = "twice" if value in labels else "but 'labels' does not name it"
            msg = f"{path}: key 'kinds' has {value} {why}; give each label value of 'labels' at most one kind"
            raise DatasetError(msg)
    intensity = meta["intensity"]
    top = 1 if intensity["rule"] == "quantile" else np.inf
    if not intensity["low"] < intensity["high"] <= top or (top == 1 and intensity["low"] < 0):
        msg = f"{path}: key 'intensity': low {intensity['low']} and high {intensity['high']} are no {intensity['rule']}"
        msg += "; give 0 <= low < high <= 1" if top == 1 else "; give intensities low < high"
        raise DatasetError(msg)


def _read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV as text; rows must have as many entries as the header, since a shift would go unnoticed."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(csv.reader(file), 1) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: cannot be read as CSV ({error}); save it as comma-separated text in UTF-8"
        raise DatasetError(msg) from None
    header = rows[0][1] if rows else []
    missing = next((c for c in required if c not in header), None)
    if missing:
        hint = " (separated by semicolons? use commas)" if len(header) == 1 and ";" in header[0] else ""
        msg = f"{path}: column '{missing}' is missing{hint}; the header needs {', '.join(required)}"
        raise DatasetError(msg)
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        msg = f"{path}: column '{twice}' is there twice; rename or remove one"
        raise DatasetError(msg)
    for line, row in rows[1:]:
        if len(row) != len(header):
            msg = f"{path}: line {line} has {len(row)} entries but the header has {len(header)}; add or remove commas"
            raise DatasetError(msg)
    return pd.DataFrame([row for _, row in rows[1:]], columns=header, dtype=object)


def _read_subjects(path: Path) -> pd.DataFrame:
    if not path.is_file():
        msg = f"{path}: missing; write one row an image with the columns subject, image, split"
        raise DatasetError(msg)
    table = _read_table(path, ("subject", "image", "split"))
    for name in table.subject:
        if not name or not set(name) <= _NAME_CHARACTERS or name[0] in ".-":
            msg = f"{path}: column 'subject' has '{name}'; use letters, digits, '.', '_' and '-', "
            raise DatasetError(msg + "first a letter or digit")
    twice = table.subject[table.subject.duplicated()]
    if len(twice):
        msg = f"{path}: subject '{twice.iloc[0]}' has two rows; give every image a subject name of its own"
        raise DatasetError(msg)
    _check_splits(path, table, "subject")
    for split in SPLITS:
        if not (table.split == split).any():
            msg = f"{path}: split '{split}' has no subject; the study needs all of {', '.join(SPLITS)}"
            raise DatasetError(msg)
    if "position" in table:
        table["position"] = [_number(path, *row) for row in zip(table.subject, table.position, strict=True)]
    return table.set_index("subject")


def _check_splits(path: Path, table: pd.DataFrame, row: str) -> None:
    wrong = table[~table.split.isin(SPLITS)]
    if len(wrong):
        split = wrong.split.iloc[0]
        msg = f"{path}: column 'split' of {row} '{wrong[row].iloc[0]}' has '{split}'; {suggest(split, SPLITS)}"
        raise DatasetError(msg)


def _number(path: Path, subject: str, entry: str) -> float:
    try:
        value = float(entry or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        msg = f"{path}: column 'position' of subject '{subject}' has '{entry}'; give a number or leave it empty"
        raise DatasetError(msg)
    return value


def _read_pairs(path: Path, subjects: pd.DataFrame) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({"split": [], "moving": [], "fixed": []}, dtype=object)
    table = _read_table(path, ("split", "moving", "fixed"))[["split", "moving", "fixed"]]
    _check_splits(path, table, "moving")
    splits = subjects.split.to_dict()
    seen = set()
    for split, moving, fixed in table.itertuples(index=False):
        pair = f"{path}: pair '{moving}' to '{fixed}' of split '{split}'"
        unknown = next((s for s in (moving, fixed) if s not in splits), None)
        if unknown is not None:
            msg = f"{pair} names '{unknown}', which subjects.csv does not; {_nearest(unknown, subjects.index)}"
        elif moving == fixed:
            msg = f"{pair} registers a subject to itself; remove it"
        elif splits[moving] != split or splits[fixed] != split:
            other = moving if splits[moving] != split else fixed
            msg = f"{pair} crosses splits, since '{other}' is in '{splits[other]}'; remove it or move the subject"
        elif (moving, fixed) in seen:
            msg = f"{pair} is listed twice; remove one"
        else:
            seen.add((moving, fixed))
            continue
        raise DatasetError(msg)
    return table


def _nearest(word: str, known: Iterable[str]) -> str:
    """Suggest among many words: the nearest, but never the whole list."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else "add it there or remove the pair"


def _check_files(raw: RawDataset) -> None:
    table = raw.folder / "subjects.csv"
    for part in (part for part in FILES if part in raw.subjects):
        endings = SUFFIXES.get(part, SUFFIXES["image"])
        for subject, entry in raw.subjects[part].items():
            where = f"{table}: column '{part}' of subject '{subject}'"
            if not entry and part == "image":
                msg = f"{where} is empty; name its image"
            elif not entry:
                continue
            elif not entry.lower().endswith(endings):
                msg = f"{where} has '{entry}'; save it in a format that is read here: {', '.join(endings)}"
            elif not (raw.folder / entry).is_file():
                msg = f"{where} has '{entry}', which does not exist in {raw.folder}; add the file or correct the path"
            else:
                continue
            raise DatasetError(msg)
    if "label" in raw.subjects and raw.subjects.label.ne("").any():
        for key in ("labels", "evaluate"):
            if not raw.meta[key]:
                msg = f"{raw.folder / 'dataset.yaml'}: key '{key}' is missing or empty; it is: "
                raise DatasetError(msg + _schema()["properties"][key]["description"])


def _check_scorable(raw: RawDataset) -> None:
    scored = [part for part in SCORED if part in raw.subjects]
    for split in ("val", "test"):
        if not (raw.subjects.loc[raw.subjects.split == split, scored].to_numpy() != "").any():
            msg = f"{raw.folder / 'subjects.csv'}: split '{split}' could not be scored; give its subjects one of "
            raise DatasetError(msg + ", ".join(SCORED))


def _check_rule(raw: RawDataset) -> None:
    """Check that the rule names what there is, and that every split has pairs."""
    path, rule, subjects = raw.folder / "dataset.yaml", raw.meta["pairs"], raw.subjects
    columns = {f"pairs.{key}": rule[key] for key in ("within", "different") if key in rule}
    columns |= {f"pairs.{side}": column for side in ("moving", "fixed") for column in rule.get(side, {})}
    if "shared_by" in raw.meta["intensity"]:
        columns["intensity.shared_by"] = raw.meta["intensity"]["shared_by"]
    columns |= {"pairs.max_gap": "position"} if "max_gap" in rule else {}
    for key, column in columns.items():
        if column not in subjects:
            msg = f"{path}: key '{key}' needs the column '{column}', which subjects.csv lacks; "
            raise DatasetError(msg + suggest(column, subjects.columns))
    for side in ("moving", "fixed"):
        for column, value in rule.get(side, {}).items():
            if not pairing.has_value(subjects[column], value).any():
                msg = f"{path}: key 'pairs.{side}.{column}' is '{value}', which no subject has; "
                raise DatasetError(msg + suggest(value, dict.fromkeys(subjects[column])))
    if "max_gap" in rule and subjects.position.isna().any():
        subject = subjects.index[subjects.position.isna()][0]
        msg = f"{raw.folder / 'subjects.csv'}: column 'position' of subject '{subject}' is empty, but key "
        raise DatasetError(msg + "'pairs.max_gap' of dataset.yaml needs it; fill it in")
    for split in SPLITS:
        if not (raw.pairs.split == split).any() and not len(pairing.draw(subjects, rule, split)):
            msg = f"{path}: key 'pairs' gives no pair in split '{split}'; loosen the rule or list pairs in pairs.csv"
            raise DatasetError(msg)
