"""What a person should know of a valid dataset: told once, and again from memory."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import make_dataset, write_meta
from refusals import told

from likeness.data import contents
from likeness.data.remarks import Remarks


def remarks(folder: Path) -> list[str]:
    """Check a dataset twice, the second time from memory."""
    cache = folder.parent / "checked.json"
    first = contents.check_images(folder, cache, Remarks)
    assert contents.check_images(folder, cache, Remarks) == first
    return first


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "own", dims=3, size=16)


def edit(path: Path, values: np.ndarray | None = None, *, shift: float = 0, qform: np.ndarray | None = None) -> None:
    """Write a NIfTI file anew with other values, elsewhere, or with a qform of its own."""
    image = nib.load(path)
    stored, affine = np.asarray(image.dataobj), image.affine.copy()
    affine[0, 3] += shift
    made = nib.Nifti1Image(stored if values is None else values, affine)
    made.header.set_xyzt_units("mm")
    made.set_sform(affine, 2)
    made.set_qform(affine if qform is None else qform @ affine, 1)
    nib.save(made, path)


@pytest.mark.parametrize("dims", [2, 3])
def test_nothing_is_said_of_an_ordinary_dataset(tmp_path: Path, dims: int) -> None:
    parts = {f"with_{part}": True for part in ("mask", "instances", "unmatched", "field", "landmarks")}
    assert remarks(make_dataset(tmp_path / "own", dims=dims, size=16, **parts)) == []


def test_a_mirrored_axis_of_one_of_two_affines_is_told_of_every_file(folder: Path) -> None:
    mirror = np.diag([-1.0, 1, 1, 1])
    for part in ("image", "label"):
        edit(folder / part / "val0.nii.gz", qform=mirror)
        edit(folder / part / "val1.nii.gz")
    for line, part in zip(remarks(folder), ("image", "label"), strict=True):
        told(line, f"{folder}/{part}/val0.nii.gz: ", "sform", "qform", "RAS", "LAS", "30")


def test_a_shift_between_the_headers_of_a_pair_is_told_once(folder: Path) -> None:
    for part in ("image", "label"):
        edit(folder / part / "test1.nii.gz", shift=30)
        edit(folder / part / "train0.nii.gz", shift=0.4)
    (line,) = remarks(folder)
    told(line, f"{folder}/images.csv: pair 'test0' to 'test1'", "30 mm", "voxel to voxel")


def computed_tomogram(seed: int, padding: float | None) -> np.ndarray:
    """Give soft tissue in air, in Hounsfield units, padded outside of a circle."""
    random = np.random.default_rng(seed)
    x, y = np.mgrid[-1:1:16j, -1:1:16j][:, :, :, None]
    body = np.where(np.hypot(x, y) < 0.6, 40.0, -990.0) + 30 * random.standard_normal((16, 16, 8))
    body[8, 8] = 1200 + 30 * random.standard_normal(8)
    return (body if padding is None else np.where(np.hypot(x, y) > 0.95, padding, body)).astype(np.int16)


@pytest.mark.parametrize("padding", [-3024, -2000, 30000])
def test_padding_is_named_with_the_range_that_leaves_it_out(folder: Path, padding: float) -> None:
    for seed, path in enumerate(sorted(folder.glob("image/*.nii.gz"))):
        edit(path, computed_tomogram(seed, padding))
    (line,) = remarks(folder)
    told(line, f"{folder}/image/train0.nii.gz: ", padding, "'intensity'", "rule: range", "6 other images")
    low, high = (float(part.split(":")[1].strip(" }'.").split("}")[0]) for part in line.split(", ")[-2:])
    assert -1200 < low < -990
    assert 1000 < high < 1400
    meta = {"name": "tiny", "spatial_dims": 3, "spacing": [1.0, 2.0, 3.0], "spacing_unit": "mm"}
    labels = {"labels": {0: "background", 1: "dark", 2: "bright"}, "evaluate": [1, 2]}
    write_meta(folder, meta | labels | {"intensity": {"rule": "range", "low": low, "high": high}})
    assert remarks(folder) == []


@pytest.mark.parametrize("kind", ["air", "background", "phantom"])
def test_what_is_no_padding_is_not_taken_for_it(folder: Path, kind: str) -> None:
    for seed, path in enumerate(sorted(folder.glob("image/*.nii.gz"))):
        tomogram = computed_tomogram(seed, None)
        values = {
            "air": tomogram,
            "background": np.where(tomogram > -500, 1000 + tomogram, 0),
            "phantom": np.digitize(tomogram, [-500, 30 + seed, 500]) * 100 + 5,
        }[kind]
        edit(path, values.astype(np.int16))
    assert remarks(folder) == []
