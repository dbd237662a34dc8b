"""What a raw dataset folder may be, and how what it may not be is refused."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from builders import edit_table, make_dataset
from PIL import Image
from refusals import refused, told

from likeness.config import dataset_file
from likeness.config.faults import WANTED
from likeness.data import contents, layout
from likeness.data.loading import Loader
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.imageio import images
from likeness.userinput.errors import FAULTS, DatasetError, shown


def check_refused(folder: Path, where: str, *facts: object) -> None:
    """Expect a folder to be refused in one line; ``where`` begins with a file in it."""
    with refused(DatasetError, f"{folder}/{where}", *facts):
        dataset_file.check(folder)
        contents.check(folder)


def check_refused_at_once(folder: Path, *places: str) -> list[str]:
    """Expect a folder to be refused with one line for each place, in this order."""
    with pytest.raises(DatasetError) as caught:
        layout.check_tables(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(places), caught.value
    for line, where in zip(lines, places, strict=True):
        told(line, f"{folder}/{where}")
    return lines


def change_meta(folder: Path, **changes) -> None:
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))


@pytest.fixture
def folder(tmp_path):
    return make_dataset(tmp_path / "tiny")


@pytest.fixture
def volumes(tmp_path):
    return make_dataset(tmp_path / "volumes", dims=3, size=16)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_complete_dataset_passes(tmp_path, dims):
    parts = {f"with_{part}": True for part in ("mask", "instances", "unmatched", "field", "landmarks")}
    raw = contents.check(make_dataset(tmp_path, dims=dims, size=20, **parts))
    assert raw.meta["background"] == 0
    assert raw.meta["intensity"] == {"rule": "quantile", "low": 0.001, "high": 0.999}
    able = {"spatial_dims": dims, "parts": [*layout.FILES, "labels"], "partly": [], "splits": ["train", "val", "test"]}
    assert layout.capabilities(tmp_path) == able


def test_unknown_columns_are_kept(folder):
    edit_table(folder / "images.csv", 0, "scanner", "A")
    assert layout.check_tables(folder).images.scanner.iloc[0] == "A"


def test_labels_count_only_where_all_that_train_have_one(tmp_path):
    folder = make_dataset(tmp_path, images={"train": 3, "val": 2, "test": 3})
    table = pd.read_csv(folder / "images.csv", dtype=str, keep_default_na=False)
    for split, counted in (("test", True), ("train", False)):
        edit_table(folder / "images.csv", int(table.index[table.split == split][0]), "label", "")
        able = layout.capabilities(folder)
        assert ("label" in able["parts"]) is counted
        assert able["partly"] == ([] if counted else ["label"])


def test_an_empty_column_is_no_capability(folder):
    edit_table(folder / "images.csv", 0, "mask", "")
    assert layout.capabilities(folder)["parts"] == ["image", "label", "labels"]


@pytest.mark.parametrize("name", ["dataset.yaml", "images.csv"])
def test_missing_table(folder, name):
    (folder / name).unlink()
    check_refused(folder, f"{name}: ", "missing")


def test_missing_folder(tmp_path):
    with refused(DatasetError, f"{tmp_path}/nowhere: ", "folder", "dataset.yaml", "images.csv"):
        dataset_file.check(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "where", "facts"),
    [
        ({"spacng": [1, 1]}, "key 'spacng'", ["'spacing'"]),
        ({"pairs": {"max_gaps": 2}}, "key 'pairs.max_gaps'", ["'max_gap'"]),
        ({"intensity": {"rule": "quantil"}}, "key 'intensity.rule'", ["'quantil'", "'quantile'"]),
        ({"intensity": {"rule": "quantile", "high": 5}}, "key 'intensity'", ["quantile", "5", "0 <= low < high <= 1"]),
        ({"intensity": {"rule": "range", "low": 3, "high": 1}}, "key 'intensity'", ["range", "3", "1", "low < high"]),
        ({"spacing": [1, 1, 1]}, "key 'spacing'", ["3", "spatial_dims", "2"]),
        ({"spacing": ["a", 1]}, "key 'spacing.0'", ["'a'", WANTED["float"]]),
        ({"spacing": [0, 1]}, "key 'spacing.0'", ["0", "1e-09"]),
        ({"spatial_dims": 4}, "key 'spatial_dims'", ["4", "2", "3"]),
        ({"name": 2024}, "key 'name'", ["2024", WANTED["string"]]),
        ({"labels": {"one": "x"}}, "key 'labels'", ["'one'", WANTED["int"]]),
        ({"labels": {0: "a", 1: "b", 2: "b"}}, "key 'labels'", ["'b'", "two"]),
        ({"labels": {0: "a", 1: "b", 2: "mean"}}, "key 'labels'", ["'mean'", "reserved"]),
        ({"labels": {}}, "key 'labels'", ["'evaluate'"]),
        ({"evaluate": []}, "key 'evaluate'", ["label maps"]),
        ({"evaluate": [1, 7]}, "key 'evaluate'", ["7", "'labels'"]),
        ({"evaluate": [0, 1]}, "key 'evaluate'", ["0", "background: null"]),
        ({"kinds": {"inside": [1, 7]}}, "key 'kinds'", ["7", "'labels'"]),
        ({"kinds": {"inside": [1, 2], "other": [2]}}, "key 'kinds'", ["2", "twice"]),
        ({"pairs": {"within": "grop"}}, "key 'pairs.within'", ["'grop'", "images.csv", "'group'"]),
        ({"pairs": {"max_gap": 2}}, "key 'pairs.max_gap'", ["'position'", "images.csv"]),
        ({"pairs": {"moving": {"split": "trane"}}}, "key 'pairs.moving.split'", ["'trane'", "'train'"]),
    ],
)
def test_dataset_yaml(folder, changes, where, facts):
    edit_table(folder / "images.csv", 0, "group", "A")
    change_meta(folder, **changes)
    check_refused(folder, f"dataset.yaml: {where}", *facts)


def test_label_maps_need_their_labels_named_and_evaluated(folder):
    change_meta(folder, labels={}, evaluate=[])
    for line in check_refused_at_once(folder, "dataset.yaml: key 'labels'", "dataset.yaml: key 'evaluate'"):
        told(line, "", "label maps")


def test_every_split_needs_pairs(folder):
    change_meta(folder, pairs={"moving": {"split": "train"}})
    lines = check_refused_at_once(folder, *["dataset.yaml: key 'pairs'"] * 2)
    for line, split in zip(lines, ("val", "test"), strict=True):
        told(line, "", f"'{split}'", "pairs.csv")


def test_labels_are_those_of_the_maps(folder):
    change_meta(folder, labels={0: "background", 1: "dark"}, evaluate=[1])
    check_refused(folder, "label/train0.png: ", "2", "'labels'", "dataset.yaml")


def test_numbers_with_an_exponent_are_numbers(folder):
    path = folder / "dataset.yaml"
    path.write_text(
        path.read_text().replace("spacing:\n- 1.0\n- 2.0\n", "spacing: [1e-4, .2E1]\n")
        + "intensity: {rule: range, low: -1e3, high: 1e5}\n"
    )
    dataset_file.check(folder)
    meta = contents.check(folder).meta
    assert meta["spacing"] == [1e-4, 2.0]
    assert meta["intensity"] == {"rule": "range", "low": -1000.0, "high": 1e5}


def test_a_required_key_is_missing(folder):
    path = folder / "dataset.yaml"
    path.write_text(path.read_text().replace("spacing_unit: mm\n", ""))
    check_refused(folder, "dataset.yaml: key 'spacing_unit'", "missing")


def test_a_misspelt_required_key_is_told_as_misspelt(folder):
    path = folder / "dataset.yaml"
    path.write_text(path.read_text().replace("spatial_dims", "spatial_dim"))
    check_refused(folder, "dataset.yaml: key 'spatial_dim'", "'spatial_dims'")


@pytest.mark.parametrize(
    ("text", "where", "facts"),
    [
        ("name: a\nname: b\n", "line 2, column 1: key 'name'", ["twice", "line 1"]),
        ("name: [a\n", "line 2, column 1:", ["','", "']'"]),
        ("- a\n", "", ["'name: …'"]),
        ("labels:\n  1: a\n  1: b\n", "line 3, column 3: key '1'", ["twice", "line 2"]),
    ],
)
def test_malformed_yaml(folder, text, where, facts):
    (folder / "dataset.yaml").write_text(text)
    check_refused(folder, f"dataset.yaml: {where}", *facts)


@pytest.mark.parametrize(
    ("row", "column", "entry", "where", "facts"),
    [
        (1, "id", "train0", "image 'train0'", ["two"]),
        (0, "id", "a/b", "column 'id'", ["'a/b'", "letters"]),
        (0, "split", "trian", "column 'split' of image 'train0'", ["'trian'", "'train'"]),
        (0, "image", "", "column 'image' of image 'train0'", ["empty"]),
        (0, "image", "image/none.png", "column 'image' of image 'train0'", ["'image/none.png'", "exist"]),
        (0, "image", "image/a.jpg", "column 'image' of image 'train0'", ["'image/a.jpg'", *layout.SUFFIXES["image"]]),
        (0, "field", "f.png", "column 'field' of image 'train0'", ["'f.png'", *layout.SUFFIXES["field"]]),
        (0, "position", "first", "column 'position' of image 'train0'", ["'first'"]),
        (0, "position", "inf", "column 'position' of image 'train0'", ["'inf'"]),
    ],
)
def test_images(folder, row, column, entry, where, facts):
    edit_table(folder / "images.csv", row, column, entry)
    check_refused(folder, f"images.csv: {where}", *facts)


def test_a_path_that_no_file_system_takes(folder):
    name = f"image/{'x' * 300}.png"
    edit_table(folder / "images.csv", 0, "image", name)
    check_refused(folder, "images.csv: column 'image' of image 'train0'", name, "longer")


def test_a_subject_in_several_splits_is_refused_unless_that_is_meant(folder):
    for row, entry in enumerate(["a", "", "b", "a", "", "b", "c"]):
        edit_table(folder / "images.csv", row, "subject", entry)
    lines = check_refused_at_once(folder, *["images.csv: subject "] * 2)
    told(lines[0], "", "'a'", "'train'", "'val'", "'train0'", "'val0'", "within_subject: true")
    told(lines[1], "", "'b'", "'train'", "'test'", "'train2'", "'test0'", "within_subject: true")
    change_meta(folder, within_subject=True)
    contents.check(folder)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_images_of_one_content_are_refused_unless_that_is_meant(folder, suffix):
    twin = folder / "image" / f"test0.{suffix}"
    values = np.asarray(Image.open(folder / "image" / "train0.png"))
    Image.fromarray(values).save(twin) if suffix == "png" else tifffile.imwrite(twin, values)
    edit_table(folder / "images.csv", 5, "image", f"image/test0.{suffix}")
    check_refused(folder, f"image/test0.{suffix}: ", f"{folder}/image/train0.png", "within_subject: true")
    change_meta(folder, within_subject=True)
    contents.check(folder)


def test_a_position_that_the_rule_needs_is_empty(folder):
    change_meta(folder, pairs={"max_gap": 1})
    for row in range(1, 7):
        edit_table(folder / "images.csv", row, "position", 3)
    check_refused(folder, "images.csv: column 'position' of image 'train0'", "empty", "'pairs.max_gap'")


@pytest.mark.parametrize(
    ("text", "where", "facts"),
    [
        ("id,image\n", "column 'split'", ["missing"]),
        ("id;image;split\n", "column 'id'", ["missing", "semicolons", "commas"]),
        ("id,image,split,split\n", "column 'split'", ["twice"]),
        ("id,image,split\na,b\n", "row 2", ["2", "3"]),
        ("id,image,split\na,b,train,d\n", "row 2", ["4", "3"]),
        ("", "column 'id'", ["missing"]),
    ],
)
def test_malformed_csv(folder, text, where, facts):
    (folder / "images.csv").write_text(text)
    check_refused(folder, f"images.csv: {where}", *facts)


def test_a_byte_order_mark_and_empty_lines_do_no_harm(folder):
    path = folder / "images.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n,,,\n")
    assert len(layout.check_tables(folder).images) == 7


def test_empty_split(tmp_path):
    folder = make_dataset(tmp_path, images={"train": 2, "val": 2})
    check_refused(folder, "images.csv: split 'test'", "no")


def test_nothing_to_score(tmp_path):
    folder = make_dataset(tmp_path, with_label=False)
    for line in check_refused_at_once(folder, "images.csv: split 'val'", "images.csv: split 'test'"):
        told(line, "", "scored", *layout.SCORED)


@pytest.mark.parametrize(
    ("pair", "where", "facts"),
    [
        ("train,train0,tran1", "pair 'train0' to 'tran1' of split 'train'", ["'tran1'", "images.csv", "'train1'"]),
        ("train,train0,train0", "pair 'train0' to 'train0' of split 'train'", ["itself"]),
        ("train,train0,test0", "pair 'train0' to 'test0' of split 'train'", ["'test0'", "'test'"]),
        ("test,train0,train1", "pair 'train0' to 'train1' of split 'test'", ["'train0'", "'train'"]),
        ("tests,train0,train1", "column 'split' of moving 'train0'", ["'tests'", "'test'"]),
        ("train,train1,train2\ntrain,train1,train2", "pair 'train1' to 'train2' of split 'train'", ["twice"]),
    ],
)
def test_pairs(folder, pair, where, facts):
    (folder / "pairs.csv").write_text(f"split,moving,fixed\n{pair}\n")
    check_refused(folder, f"pairs.csv: {where}", *facts)


def test_everything_that_is_wrong_with_the_tables_is_told_at_once(folder):
    change_meta(folder, evaluate=[1, 7], spacing=[1, 1, 1], pairs={"within": "grop"})
    for row, column, entry in ((0, "id", "a/b"), (1, "image", "none.png"), (2, "split", "trian"), (3, "position", "x")):
        edit_table(folder / "images.csv", row, column, entry)
    (folder / "pairs.csv").write_text(
        "split,moving,fixed\ntrain,train1,train1\ntrain,train2,train1\nval,val0,vl1\nval,vl1,val0\ntest,val0,test0\n"
    )
    lines = check_refused_at_once(
        folder,
        "dataset.yaml: key 'spacing'",
        "dataset.yaml: key 'evaluate'",
        "dataset.yaml: key 'pairs.within'",
        "images.csv: column 'id'",
        "images.csv: column 'split' of image 'train2'",
        "images.csv: column 'position' of image 'val0'",
        "images.csv: column 'image' of image 'train1'",
        "pairs.csv: pair 'train1' to 'train1' of split 'train'",
        "pairs.csv: pair 'val0' to 'vl1' of split 'val'",
        "pairs.csv: pair 'val0' to 'test0' of split 'test'",
    )
    told(lines[-2], "", "'vl1'", "'val1'")


def test_what_only_follows_from_another_fault_is_not_told(folder):
    table = folder / "images.csv"
    whole = table.read_text()
    change_meta(folder, evaluate=[7], pairs={"within": "label", "moving": {"split": "test"}})
    (folder / "pairs.csv").write_text("split,moving,fixed\ntrain,train0,train1\n")
    evaluated = "dataset.yaml: key 'evaluate'"
    table.write_text(whole.replace("image", "picture", 1))
    check_refused_at_once(folder, evaluated, "images.csv: column 'image'")
    table.write_text(whole.replace("label", "labels", 1))
    check_refused_at_once(folder, evaluated, "images.csv: column 'labels'")
    table.write_text(whole.replace("train0,", "train0,,", 1).replace("image/val0.png", "none.png"))
    check_refused_at_once(folder, evaluated, "images.csv: row 2", "images.csv: column 'image' of image 'val0'")
    table.write_text(whole.replace(",test", ",tst").replace("train0.png,train", "train0.png,trian"))
    splits = [f"images.csv: column 'split' of image '{id}'" for id in ("train0", "test0", "test1")]
    check_refused_at_once(folder, evaluated, *splits)
    table.write_text(whole)
    (folder / "pairs.csv").write_text("split,mving,fixed\ntrain,nobody,nobody\n")
    check_refused_at_once(folder, evaluated, "pairs.csv: column 'moving'")
    (folder / "pairs.csv").write_text("split,moving,fixed\ntrain,nobody\ntrain,train0,nobody\n")
    check_refused_at_once(folder, evaluated, "pairs.csv: row 2", "pairs.csv: pair 'train0' to 'nobody'")


def test_a_long_list_of_faults_is_cut(tmp_path):
    folder = make_dataset(tmp_path, images={"train": 25, "val": 2, "test": 2})
    for path in (folder / "image").glob("train*.png"):
        path.unlink()
    with pytest.raises(DatasetError) as caught:
        layout.check_tables(folder)
    *lines, last = str(caught.value).splitlines()
    assert len(lines) == FAULTS
    told(last, "", "5")


def rewrite(folder: Path, part: str, change, id: str = "train1") -> Path:
    """Change the values of a PNG, in its type unless the change gives another."""
    path = folder / part / f"{id}.png"
    Image.fromarray(change(np.asarray(Image.open(path)))).save(path)
    return path


@pytest.mark.parametrize(
    ("part", "change", "told_of", "facts"),
    [
        ("image", np.zeros_like, "image", ["constant", "0"]),
        ("image", lambda a: a[:-1], "label", ["(32, 32)", "(31, 32)"]),
        ("image", lambda a: np.repeat((a >> 8).astype(np.uint8)[..., None], 3, -1), "image", ["colour", "RGB"]),
        ("label", lambda a: a[:, :-1], "label", ["(32, 31)", "(32, 32)"]),
        ("label", np.zeros_like, "label", ["background", "0"]),
        ("label", lambda a: a + 5, "label", ["5", "'labels'", "dataset.yaml"]),
        ("mask", np.zeros_like, "mask", ["empty"]),
    ],
)
def test_pictures(tmp_path, part, change, told_of, facts):
    folder = make_dataset(tmp_path, with_mask=True)
    path = rewrite(folder, part, change)
    check_refused(folder, f"{told_of}/{path.name}: ", *facts)


def test_images_of_different_shape(tmp_path):
    folder = make_dataset(tmp_path)
    for part in ("image", "label"):
        rewrite(folder, part, lambda a: a[:-1])
    check_refused(folder, "image/train1.png: ", "(31, 32)", "'train0'", "(32, 32)")


@pytest.mark.parametrize("part", ["image", "label"])
@pytest.mark.parametrize("keep", [0, 20, 0.5])
def test_truncated_png(folder, part, keep):
    path = folder / part / "val0.png"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if keep < 1 else keep])
    check_refused(folder, f"{part}/val0.png: ", "PNG" if keep else "empty")


def test_truncated_nifti(volumes):
    path = volumes / "image" / "val0.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    check_refused(volumes, "image/val0.nii.gz: ", "read", "NIfTI")


def test_truncated_tiff(folder):
    path = folder / "image" / "val0.tif"
    tifffile.imwrite(path, np.asarray(Image.open(path.with_suffix(".png"))))
    edit_table(folder / "images.csv", 3, "image", "image/val0.tif")
    contents.check(folder)
    path.write_bytes(path.read_bytes()[:-300])
    check_refused(folder, "image/val0.tif: ", "(32, 32)", "bytes")


def test_colour_tiff(folder):
    path = folder / "image" / "val0.tif"
    tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    edit_table(folder / "images.csv", 3, "image", "image/val0.tif")
    check_refused(folder, "image/val0.tif: ", "colour")


def test_not_finite(folder):
    path = folder / "image" / "val0.tif"
    values = np.asarray(Image.open(path.with_suffix(".png"))).astype(np.float32)
    values[3, 4] = np.nan
    tifffile.imwrite(path, values)
    edit_table(folder / "images.csv", 3, "image", "image/val0.tif")
    check_refused(folder, "image/val0.tif: ", "finite")


@pytest.mark.parametrize("dims", [2, 3])
def test_spatial_dims_does_not_fit(tmp_path, dims):
    folder = make_dataset(tmp_path, dims=dims, size=16)
    change_meta(folder, spatial_dims=5 - dims, spacing=[1.0] * (5 - dims))
    name = "train0.png" if dims == 2 else "train0.nii.gz"
    check_refused(folder, f"image/{name}: ", "dataset.yaml", f"'spatial_dims: {5 - dims}'")


def save_nifti(path: Path, values: np.ndarray, affine: np.ndarray | None, unit: str = "mm") -> None:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize(
    ("change", "part", "facts"),
    [
        (lambda v, a: (np.stack([v, v], -1), a), "image", ["(16, 16, 8, 2)", "dataset.yaml", "'spatial_dims: 3'"]),
        (lambda v, _: (v, None), "image", ["affine"]),
        (lambda v, a: (v, a @ np.diag([2, 1, 1, 1])), "image", ["2 × 2 × 3 mm", "'spacing'", "1 × 2 × 3 mm"]),
        (lambda v, a: (v.astype(np.complex64), a), "image", ["complex64"]),
        (lambda v, a: (v, a + np.eye(4, k=3)), "label", ["image", "affine"]),
    ],
)
def test_volumes(volumes, change, part, facts):
    path = volumes / "image" / "val0.nii.gz"
    save_nifti(path, *change(*stored(path)))
    check_refused(volumes, f"{part}/val0.nii.gz: ", *facts)


def test_singular_affine(volumes):
    path = volumes / "image" / "val0.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:296] = bytes(16)  # srow_x of the header
    path.write_bytes(gzip.compress(bytes(content)))
    check_refused(volumes, "image/val0.nii.gz: ", "affine", "invertible")


def test_a_header_in_another_unit_agrees(volumes):
    change_meta(volumes, spacing=[1000.0, 2000.0, 3000.0], spacing_unit="um")
    for path in volumes.glob("*/*.nii.gz"):
        save_nifti(path, *stored(path), unit="mm")
    contents.check(volumes)


def test_whole_numbers_stored_as_floats_are_labels(volumes):
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, values.astype(np.float32), affine)
    contents.check(volumes)
    save_nifti(path, values.astype(np.float32) + 0.5, affine)
    check_refused(volumes, "label/val0.nii.gz: ", "integers")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("i,j\n1,2\n", ["1", "'test1'", "3"]),
        ("i,j\n1,2\n3,400\n5,6\n", ["point 2", "[3.0, 400.0]", "(32, 32)"]),
        ("i,j,k\n1,2,3\n", ["first line", "i,j"]),
        ("j,i\n1,2\n3,4\n5,6\n", ["first line", "i,j"]),
        ("x,y\n1,2\n3,4\n5,6\n", ["first line", "i,j"]),
        ("i,j\n1,2\n3,nan\n5,6\n", ["per row", "2"]),
        ("i,j\n1,2\n3,-0.6\n5,6\n", ["point 2", "[3.0, -0.6]", "(32, 32)"]),
        ("i,j\n1,\n", ["per row", "2"]),
        ("i,j\n1,2,3\n4,5,6\n", ["per row", "2"]),
        ("", ["first line", "i,j"]),
        ("4,5\n6,7\n8,9\n", ["first line", "i,j"]),
    ],
)
def test_landmarks(tmp_path, text, facts):
    folder = make_dataset(tmp_path, with_landmarks=True)
    (folder / "landmarks" / "test0.csv").write_text(text)
    check_refused(folder, "landmarks/test0.csv: ", *facts)


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [
        ({"displacement": np.zeros((32, 32, 3))}, ["(32, 32, 3)", "(32, 32, 2)"]),
        ({"displacement": np.zeros((2, 32, 32))}, ["(2, 32, 32)", "(32, 32, 2)"]),
        ({"displacement": np.full((32, 32, 2), np.nan)}, ["finite"]),
        ({"field": np.zeros((32, 32, 2))}, ["'displacement'"]),
    ],
)
def test_fields(tmp_path, arrays, facts):
    folder = make_dataset(tmp_path, with_field=True)
    np.savez(folder / "field" / "train1.npz", **arrays)
    check_refused(folder, "field/train1.npz: ", *facts)


def test_a_pickle_is_not_opened(tmp_path):
    folder = make_dataset(tmp_path, with_field=True)
    np.savez(folder / "field" / "train1.npz", displacement=np.array([{}], dtype=object))
    check_refused(folder, "field/train1.npz: ", "(1,)", "(32, 32, 2)")
    np.savez(folder / "field" / "train1.npz", displacement=np.full((32, 32, 2), {}, dtype=object))
    check_refused(folder, "field/train1.npz: ", "(32, 32, 2)")


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PSR", "SRA", "IPL", "ARI", "RSP"])
def test_orientation_turns_image_field_and_landmarks_alike(tmp_path, codes):
    parts = {f"with_{part}": True for part in ("field", "landmarks", "mask")}
    folder = make_dataset(tmp_path, dims=3, size=16, **parts)
    raw = contents.check(folder)
    before = contents.read(raw, "test1")
    store_as(folder, "test1", codes)
    assert nib.aff2axcodes(nib.load(folder / "image" / "test1.nii.gz").affine) == tuple(codes)
    after = contents.read(raw, "test1")
    for part in ("image", "label", "mask", "field"):
        np.testing.assert_array_equal(getattr(after, part), getattr(before, part))
    np.testing.assert_allclose(after.landmarks, before.landmarks)


def store_as(folder: Path, id: str, codes: str) -> None:
    """Store a canonical image in another orientation, its field and landmarks in voxels of that storage."""
    turn = nib.orientations.axcodes2ornt(codes)
    order, flip = turn[:, 0].astype(int), turn[:, 1] < 0  # stored axis i shows canonical axis order[i]
    shape = None
    for part in ("image", "label", "mask"):
        path = folder / part / f"{id}.nii.gz"
        values, affine = stored(path)
        shape = np.array(values.shape)
        back = nib.orientations.ornt_transform(nib.io_orientation(affine), turn)
        moved = nib.Nifti1Image(values, affine).as_reoriented(back)
        nib.save(moved, path)
    path = folder / "field" / f"{id}.npz"
    with np.load(path) as arrays:
        field = arrays["displacement"]
    field = np.flip(np.transpose(field, (*order, 3)), tuple(np.flatnonzero(flip)))
    np.savez(path, displacement=field[..., order] * np.where(flip, -1, 1))
    path = folder / "landmarks" / f"{id}.csv"
    points = pd.read_csv(path).to_numpy()[:, order]
    pd.DataFrame(np.where(flip, shape[order] - 1 - points, points), columns=list("ijk")).to_csv(path, index=False)


def test_a_flat_volume_is_a_picture(tmp_path):
    values = np.arange(20, dtype=np.int16).reshape(4, 1, 5)
    affine = np.array([[0, 0, 2.0, 0], [0, 7.0, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])  # stored as I, A, R
    save_nifti(tmp_path / "flat.nii", values, affine)
    image, grid = images.read(tmp_path / "flat.nii", 2)
    np.testing.assert_array_equal(image, values[:, 0].T[:, ::-1])
    assert grid.spacing == (2.0, 3.0)
    np.testing.assert_array_equal(grid.turn_points(np.array([[0.0, 4.0]])), [[4, 3]])
    field = np.zeros((4, 5, 2))
    field[0, 4] = (1, 2)
    np.testing.assert_array_equal(grid.turn_field(field)[4, 3], (2, -1))


def test_a_displacement_in_nifti_follows_its_own_header(tmp_path):
    folder = make_dataset(tmp_path, dims=3, size=16, with_field=True)
    raw = contents.check(folder)
    before = contents.read(raw, "train0").field
    affine = stored(folder / "image" / "train0.nii.gz")[1]
    flipped = affine @ np.array([[-1, 0, 0, 15], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    save_nifti(folder / "field" / "train0.nii.gz", before[::-1] * [-1, 1, 1], flipped)
    edit_table(folder / "images.csv", 0, "field", "field/train0.nii.gz")
    np.testing.assert_array_equal(contents.read(contents.check(folder), "train0").field, before)


def save_warp(path: Path, vectors: np.ndarray, affine: np.ndarray) -> None:
    """Save ``(*shape, dims)`` as ANTs does: millimetres to the left, posterior and superior."""
    shape = (*vectors.shape[:-1], 1)[:3]
    image = nib.Nifti1Image(vectors.reshape(*shape, 1, -1).astype(np.float32), affine)
    image.header.set_intent(1007)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def test_a_warp_of_ants_is_converted_to_voxels(tmp_path):
    folder = make_dataset(tmp_path, dims=3, size=16, with_field=True)
    affine = stored(folder / "image" / "train0.nii.gz")[1]
    np.testing.assert_array_equal(nib.affines.voxel_sizes(affine), (1, 2, 3))
    vectors = np.broadcast_to(np.array([3.0, 0.0, 6.0]), (16, 16, 8, 3))
    save_warp(folder / "field" / "train0.nii.gz", vectors, affine)
    edit_table(folder / "images.csv", 0, "field", "field/train0.nii.gz")
    found = contents.read(contents.check(folder), "train0").field
    np.testing.assert_allclose(found, np.broadcast_to((-3, 0, 2), found.shape), atol=1e-5)


def test_warps_of_images_that_lie_elsewhere_lead_to_one_space(tmp_path):
    """Moved by 30 mm, an image needs another warp to the same place, which is the same field in voxels."""
    folder = make_dataset(tmp_path, dims=3, size=16, with_field=True)
    vectors = np.random.default_rng(0).uniform(-3, 3, (16, 16, 8, 3))
    for row, (id, shift) in enumerate({"train0": 0, "train1": 30}.items()):
        for part in ("image", "label"):
            values, affine = stored(folder / part / f"{id}.nii.gz")
            affine[0, 3] += shift
            save_nifti(folder / part / f"{id}.nii.gz", values, affine)
        # x of the warp is to the left
        save_warp(folder / "field" / f"{id}.nii.gz", vectors + np.array([shift, 0, 0]), affine)
        edit_table(folder / "images.csv", row, "field", f"field/{id}.nii.gz")
    raw = contents.check(folder)
    fields = [contents.read(raw, id).field for id in ("train0", "train1")]
    np.testing.assert_allclose(fields[0], vectors / [-1, -2, 3], atol=1e-5)
    np.testing.assert_allclose(*fields, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "intent", "facts"),
    [((16, 16, 8, 1, 3), 0, ["intent 0", "1007"]), ((16, 16, 8, 3), 1007, ["intent 1007", "ITK"]),
     ((16, 16, 8, 3), 2006, ["intent 2006", "ITK"])],
)  # fmt: skip
def test_vectors_of_unknown_unit_are_refused(tmp_path, shape, intent, facts):
    folder = make_dataset(tmp_path, dims=3, size=16, with_field=True)
    image = nib.Nifti1Image(np.zeros(shape, np.float32), stored(folder / "image" / "train0.nii.gz")[1])
    image.header["intent_code"] = intent
    nib.save(image, folder / "field" / "train0.nii.gz")
    edit_table(folder / "images.csv", 0, "field", "field/train0.nii.gz")
    check_refused(folder, "field/train0.nii.gz: ", *facts)


def test_a_nifti_label_of_a_png_image_is_refused(folder):
    label = np.asarray(Image.open(folder / "label" / "train0.png"))
    save_nifti(folder / "label" / "train0.nii", label, np.eye(4))
    edit_table(folder / "images.csv", 0, "label", "label/train0.nii")
    check_refused(folder, "label/train0.nii: ", "image", "NIfTI")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_pictures_keep_their_bits(tmp_path, dtype):
    values = np.linspace(0, np.iinfo(dtype).max, 12).astype(dtype).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", values)
    for name in ("a.png", "a.tif"):
        image, grid = images.read(tmp_path / name, 2)
        np.testing.assert_array_equal(image, values)
        assert grid.spacing is None


def test_palette_numbers_are_labels_but_no_image(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    assert images.read(tmp_path / "a.png", 2, palette=True)[0].tolist() == [[0, 1], [2, 1]]
    with refused(DatasetError, f"{tmp_path}/a.png: ", "colour"):
        images.read(tmp_path / "a.png", 2)


def test_a_good_verdict_is_remembered_until_a_file_changes(folder, tmp_path, monkeypatch):
    cache = tmp_path / "work" / "checked.json"
    contents.check_images(folder, cache)
    states = layout.states(folder)

    def refuse(raw):
        raise AssertionError(raw.folder)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "check", refuse)
        contents.check_images(folder, cache)
    rewrite(folder, "image", np.zeros_like)
    assert layout.states(folder) != states
    for _ in range(2):
        with refused(DatasetError, f"{folder}/image/train1.png: ", "constant"):
            contents.check_images(folder, cache)


def test_tables_are_checked_without_heavy_libraries(folder):
    code = f"""
import sys
from likeness.data import layout
layout.check_tables({str(folder)!r}); layout.capabilities({str(folder)!r})
heavy = {{"torch", "nibabel", "scipy", "PIL", "tifffile", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    library = Path(layout.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(library)})


def test_one_image(tmp_path):
    check_refused(make_dataset(tmp_path / "a", images={"train": 2}), "images.csv: split 'test'", "no")
    lonely = make_dataset(tmp_path / "b", images={"train": 1, "val": 2, "test": 2})
    check_refused(lonely, "images.csv: split 'train'", "one", "two")


def test_one_file_of_two_images(folder):
    edit_table(folder / "images.csv", 1, "image", "./image/train0.png")
    check_refused(folder, "images.csv: column 'image' of image 'train1'", "'train0'", "'./image/train0.png'")


@pytest.mark.parametrize(("given", "wanted"), [("labels", "label"), ("Mask", "mask"), ("landmark", "landmarks")])
def test_columns_that_look_like_known_ones(folder, given, wanted):
    path = folder / "images.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="label")
    table.assign(**{given: table.image}).to_csv(path, index=False)
    check_refused(folder, f"images.csv: column '{given}'", f"'{wanted}'")


@pytest.mark.parametrize(
    ("content", "where", "facts"),
    [
        (b"id,image,split\n\xff,b,train\n", "", ["UTF-8", "16"]),
        (b"id,image,split\na,b\x00,train\n", "row 2", [r"'\x00'"]),
        (b'id,image,split\na,"b\nc",train\n', "row 2", [r"'\n'"]),
        (b"id,image,split\n" + b"x" * 200_000 + b",b,train\n", "", ["CSV", "field"]),
        (b"idd,image,split\na,b,train\n", "column 'id'", ["missing", "'idd'"]),
        (b"id,image,split\n" + b"x" * 65 + b",image/train0.png,test\n", "column 'id'", [shown("x" * 65), "64"]),
    ],
    ids=range(6),
)
def test_tables_that_are_no_tables(folder, content, where, facts):
    (folder / "images.csv").write_bytes(content)
    check_refused(folder, f"images.csv: {where}", *facts)


def test_the_score_that_decides_needs_pairs_of_both_splits(tmp_path):
    folder = make_dataset(tmp_path / "a", with_field=True)
    for row in (3, 4):
        edit_table(folder / "images.csv", row, "field", "")
    check_refused(folder, "images.csv: column 'field'", "'val'", "both", "group")
    other = make_dataset(tmp_path / "b", with_field=True)
    for row in range(7):
        edit_table(other / "images.csv", row, "group", row)
    lines = check_refused_at_once(other, *["images.csv: column 'field'"] * 2)
    for line, split in zip(lines, ("val", "test"), strict=True):
        told(line, "", f"'{split}'", "both", "group")


def test_masks_count_only_where_the_images_of_a_side_are_alike(tmp_path):
    folder = make_dataset(tmp_path, images={"train": 4, "val": 2, "test": 2}, with_mask=True)
    assert "mask" in layout.capabilities(folder)["parts"]
    edit_table(folder / "images.csv", 7, "mask", "")
    assert "mask" in layout.capabilities(folder)["parts"], "test images teach nothing"
    edit_table(folder / "images.csv", 0, "mask", "")
    able = layout.capabilities(folder)
    assert "mask" not in able["parts"]
    assert able["partly"] == ["mask"]
    # moving images with a mask, fixed ones without: the loss of every pair sees the same
    (folder / "pairs.csv").write_text("split,moving,fixed\ntrain,train1,train0\ntrain,train2,train0\nval,val0,val1\n")
    edit_table(folder / "images.csv", 5, "mask", "")
    assert "mask" in layout.capabilities(folder)["parts"]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(columns: int, rows: int, stored_rows: int | None = None, bits: int = 8) -> bytes:
    """A grey picture of zeros whose header may promise more rows than there are."""
    header = struct.pack(">IIBBBBB", columns, rows, bits, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((columns * bits // 8 + 1) * (rows if stored_rows is None else stored_rows)), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def nifti(shape: tuple[int, ...], values: int) -> bytes:
    """A volume of zeros whose header may promise more voxels than there are."""
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.float64), np.eye(4)).header
    header.set_data_shape(shape)
    return header.binaryblock + bytes(4) + bytes(8 * values)


def huge_tiff(path: Path) -> bytes:
    """A TIFF whose header promises more rows than there are."""
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(20_000)
        file.pages[0].tags["ImageLength"].overwrite(20_000)
    return path.read_bytes()


def bomb(shape: tuple[int, ...]) -> bytes:
    """A displacement of zeros, compressed."""
    memory = io.BytesIO()
    with (
        zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("displacement.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for _ in range(shape[0]):
            file.write(bytes(4 * int(np.prod(shape[1:]))))
    return memory.getvalue()


def test_headers_that_lie_take_no_memory(tmp_path):
    """What a header promises is checked before memory is set aside, and what would be too much is not decompressed."""
    lies = {
        "rows.png": (png(1000, 100_000, 10), ["bytes"]),
        "many.png": (png(60_000, 60_000, 10), ["3.6e+09", "1.34e+08"]),
        "zeros.png": (png(20_000, 8000, bits=1), ["1.6e+08", "1.34e+08"]),
        "long.nii": (nifti((500, 500, 500), 8), ["bytes"]),
        "long.nii.gz": (gzip.compress(nifti((500, 500, 500), 8)), ["bytes"]),
        "many.nii": (nifti((30_000, 30_000, 30_000), 8), ["2.7e+13", "1.34e+08"]),
        "long.tif": (huge_tiff(tmp_path / "h.tif"), ["4e+08", "1.34e+08"]),
    }
    for name, (content, facts) in lies.items():
        (tmp_path / name).write_bytes(content)
        with refused(DatasetError, f"{tmp_path / name}: ", *facts):
            images.read(tmp_path / name, 3 if ".nii" in name else 2)
    (tmp_path / "f.npz").write_bytes(bomb((50, 1000, 1000)))
    with refused(DatasetError, f"{tmp_path / 'f.npz'}: ", "(50, 1000, 1000)", "(16, 16, 2)"):
        images.read_field(tmp_path / "f.npz", images.Grid((16, 16), (0, 1), (False, False)))
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from likeness.imageio import images\n"
        "from likeness.userinput.errors import DatasetError\n"
        "import nibabel, tifffile, PIL.Image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name in sys.argv[3:]:\n"
        "    try:\n"
        "        path = Path(sys.argv[2]) / name\n"
        "        grid = images.Grid((16, 16), (0, 1), (False, False))\n"
        "        images.read_field(path, grid) if 'npz' in name else images.read(path, 3 if 'nii' in name else 2)\n"
        "    except DatasetError:\n"
        "        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    library = str(Path(layout.__file__).parents[2])
    call = [sys.executable, "-c", code, library, str(tmp_path), *lies, "f.npz"]
    more = int(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    assert more < 50_000, f"{more} kB more than before"


def jpeg(values: np.ndarray) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(values).save(memory, "JPEG")
    return memory.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("a.png", jpeg(np.zeros((32, 32), np.uint8)), ["JPEG", "suffix", "PNG"]),
        ("a.png", gzip.compress(b"a"), ["gzip", "suffix", "PNG"]),
        ("a.png", b"hello", ["not", "suffix", "PNG"]),
        ("a.tif", png(32, 32), ["PNG", "suffix", "TIFF"]),
        ("a.tiff", b"II*\0", ["read", "TIFF"]),
        ("a.nii", gzip.compress(nifti((4, 4, 4), 64)), ["gzip", "suffix", "NIfTI"]),
        ("a.nii", png(32, 32), ["PNG", "suffix", "NIfTI"]),
        ("a.nii", bytes(400), ["read", "NIfTI"]),
        ("a.nii.gz", nifti((4, 4, 4), 64), ["not", "gzip", "suffix", "NIfTI"]),
        ("a.nii.gz", gzip.compress(b"hello"), ["read", "NIfTI"]),
        ("a.png", b"", ["empty"]),
    ],
    ids=range(11),
)
def test_files_that_are_not_what_they_are_called(tmp_path, capfd, name, content, facts):
    path = tmp_path / name
    path.write_bytes(content)
    with refused(DatasetError, f"{path}: ", *facts):
        images.read(path, 2)
    assert capfd.readouterr() == ("", ""), "the readers say nothing beside"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "F"])
def test_colour_and_transparency(tmp_path, mode):
    values = np.zeros((8, 8, 4), np.uint8)
    values[:4] = 100
    if mode in ("CMYK", "YCbCr", "F"):
        tifffile.imwrite(tmp_path / "a.tif", values[..., :3], photometric="rgb")
        path = tmp_path / "a.tif"
    else:
        path = tmp_path / "a.png"
        Image.fromarray(values, "RGBA").convert(mode).save(path)
    with refused(DatasetError, f"{path}: ", "colour"):
        images.read(path, 2)


def test_pictures_that_are_several(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), n, np.uint8)) for n in (10, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with refused(DatasetError, f"{tmp_path}/a.png: ", "2 frames"):
        images.read(tmp_path / "a.png", 2)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 8), np.uint8))
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "(2, 8, 8)", "dataset.yaml", "'spatial_dims: 2'"):
        images.read(tmp_path / "a.tif", 2)
    tifffile.imwrite(
        tmp_path / "b.tif", np.eye(8, dtype=np.uint8), photometric="palette", colormap=np.zeros((3, 256), np.uint16)
    )
    with refused(DatasetError, f"{tmp_path}/b.tif: ", "colour"):
        images.read(tmp_path / "b.tif", 2)
    assert images.read(tmp_path / "b.tif", 2, palette=True)[0].sum() == 8


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (np.linspace(0, 1e35, 32 * 32), ["1e+35", "1e+30"]),
        (np.linspace(0, 1e-60, 32 * 32), ["constant", "0"]),
        (np.linspace(2.0**60, 2.0**60 + 1e9, 32 * 32), ["constant", "1.15292e+18"]),
        # the negative of a picture of 8 bits in 32: single precision has no more than two of its values
        (2.0**32 - 1 - np.arange(32 * 32) % 256, ["4294967295", "subtract"]),
    ],
)
def test_intensities_beyond_single_precision(folder, values, facts):
    tifffile.imwrite(folder / "image" / "val0.tif", values.reshape(32, 32))
    edit_table(folder / "images.csv", 3, "image", "image/val0.tif")
    check_refused(folder, "image/val0.tif: ", *facts)


def test_intensities_that_the_rule_leaves_nothing_of(folder):
    change_meta(folder, intensity={"rule": "range", "low": -5, "high": -1})
    with pytest.raises(DatasetError) as caught:
        contents.check(folder)
    for line, id in zip(str(caught.value).splitlines(), layout.check_tables(folder).images.index, strict=True):
        told(line, f"{folder}/image/{id}.png: ", "-5", "-1", "'intensity'")
    change_meta(folder, intensity={"rule": "range", "low": -5})
    check_refused(folder, "dataset.yaml: key 'intensity.high'", "missing", "range")


def test_images_too_small_for_a_network(tmp_path):
    check_refused(make_dataset(tmp_path, size=4), "image/train0.png: ", "(4, 4)", "5")


@pytest.mark.parametrize(("low", "says"), [(0, ""), (-1, "2147483647"), (40_000, "'labels'")])
def test_label_numbers(volumes, low, says):
    change_meta(volumes, labels={0: "background", 1: "dark", 2: "bright", 3: "more"})
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, values.astype(np.int32) + low, affine)
    if says:
        check_refused(volumes, "label/val0.nii.gz: ", low, low + 2, says)
    else:
        contents.check(volumes)


@pytest.mark.parametrize(("numbers", "fits"), [((0, 85, 170), True), ((0, 84, 170), False), ((0, 85, 169), False)])
def test_labels_that_a_scale_factor_makes_nearly_whole(volumes, numbers, fits):
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, np.array(numbers, np.int16)[values], affine)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = struct.pack("<ff", 1 / 85, 0)  # slope and intercept of the header
    path.write_bytes(gzip.compress(bytes(content)))
    if fits:
        np.testing.assert_array_equal(contents.read(contents.check(volumes), "val0").label, values)
    else:
        check_refused(volumes, "label/val0.nii.gz: ", "integers")


@pytest.mark.parametrize(("off", "fits"), [(0.0009, True), (-0.0009, True), (0.002, False), (0.5, False)])
def test_labels_that_are_nearly_whole(volumes, off, fits):
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, (values + off * (values == 1)).astype(np.float32), affine)
    if fits:
        np.testing.assert_array_equal(contents.read(contents.check(volumes), "val0").label, values)
    else:
        check_refused(volumes, "label/val0.nii.gz: ", "integers")


def test_all_label_values_without_a_name_are_told_at_once(tmp_path):
    folder = make_dataset(tmp_path, images={"train": 2, "val": 2, "test": 2})
    for id in ("train1", "val1"):
        rewrite(folder, "label", lambda a: (np.arange(a.size) % 73).astype(np.uint8).reshape(a.shape), id)
    check_refused(folder, "label/train1.png: ", "70 label values", *range(3, 73))
    rewrite(folder, "label", lambda a: np.where(a == 5, 99, a), "val1")
    with pytest.raises(DatasetError) as caught:
        contents.check(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    told(lines[1], f"{folder}/label/val1.png: ", "99")


def test_what_is_wrong_with_files_is_told_at_once(tmp_path):
    folder = make_dataset(tmp_path, with_landmarks=True)
    rewrite(folder, "image", np.zeros_like, "train0")
    rewrite(folder, "label", lambda a: a[:-1], "train1")
    for id in ("val0", "val1", "test0"):
        (folder / "landmarks" / f"{id}.csv").write_text("y,x\n1,2\n")
    with pytest.raises(DatasetError) as caught:
        contents.check(folder)
    lines = str(caught.value).splitlines()
    places = ["image/train0.png: ", "label/train1.png: ", "landmarks/val0.csv: "]
    for line, place, facts in zip(lines, places, (["constant"], ["(31, 32)"], ["y,x", "2 more"]), strict=True):
        told(line, f"{folder}/{place}", *facts)


@pytest.mark.parametrize(("there", "written"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_names_whose_accents_are_stored_in_another_way_are_found(folder, there, written):
    (folder / "image" / "train0.png").rename(folder / "image" / f"caf{there}.png")
    edit_table(folder / "images.csv", 0, "image", f"image/caf{written}.png")
    assert contents.check(folder).images.image.iloc[0] == f"image/caf{there}.png"
    edit_table(folder / "images.csv", 1, "image", f"image/caf{there}.png")
    check_refused(folder, "images.csv: column 'image' of image 'train1'", "'train0'")


def test_backslashes_of_windows_separate_folders(folder):
    table = folder / "images.csv"
    table.write_text(table.read_text().replace("image/", "image\\"))
    assert contents.check(folder).images.image.iloc[0] == "image/train0.png"
    edit_table(table, 0, "image", "image\\none.png")
    check_refused(folder, "images.csv: column 'image' of image 'train0'", r"'image\none.png'", "exist")


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_of_other_systems_do_no_harm(tmp_path, newline):
    folder = make_dataset(tmp_path, with_landmarks=True)
    before = contents.read(contents.check(folder), "test0").landmarks
    for path in (folder / "images.csv", *folder.glob("landmarks/*.csv")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace("\n", newline).encode())
    np.testing.assert_array_equal(contents.read(contents.check(folder), "test0").landmarks, before)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings_are_refused(folder, encoding):
    path = folder / "images.csv"
    path.write_bytes(path.read_text().replace("label", "größe", 1).encode(encoding))
    check_refused(folder, "images.csv: ", "UTF-8" if encoding != "utf-16-le" else "")


@pytest.mark.parametrize(
    ("unit", "told_of", "fits"), [("micron", "um", True), ("micron", "mm", False), ("mm", "um", True)]
)
def test_a_unit_that_a_header_states_counts(volumes, unit, told_of, fits):
    """Most programs write mm whatever it is, so that this alone contradicts nothing."""
    change_meta(volumes, spacing_unit=told_of)
    for path in volumes.glob("*/*.nii.gz"):
        save_nifti(path, *stored(path), unit=unit)
    if fits:
        contents.check(volumes)
    else:
        check_refused(volumes, "image/train0.nii.gz: ", "1 × 2 × 3 micron", "1 × 2 × 3 mm")


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.float32, np.float64])
def test_labels_of_any_type_that_are_whole_numbers(volumes, dtype):
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, values.astype(dtype), affine)
    assert contents.read(contents.check(volumes), "val0").label.dtype == np.int32


def test_sixteen_bit_label_pictures(folder):
    rewrite(folder, "label", lambda a: a.astype(np.uint16))
    contents.check(folder)


def test_many_labels_keep_their_classes(tmp_path):
    """More than 256, as atlases have, do not fit a byte."""
    labels = {n: f"n{n}" for n in range(300)}
    folder = make_dataset(tmp_path / "raw", labels=labels, evaluate=[299])
    rewrite(folder, "label", lambda a: (np.arange(a.size) % 300).astype(np.uint16).reshape(a.shape))
    prepare(folder, tmp_path / "prepared")
    found = Loader(Dataset.open(tmp_path / "prepared")).labels(["train1"])
    assert found is not None
    assert int(found.max()) == 299


def test_spacing_of_the_first_image_may_be_the_right_one(volumes):
    for path in volumes.glob("*/train0.nii.gz"):
        values, affine = stored(path)
        save_nifti(path, values, affine @ np.diag([2, 1, 1, 1]))
    check_refused(volumes, "image/train0.nii.gz: ", "2 × 2 × 3 mm", "1 × 2 × 3 mm")


def test_a_broken_memory_of_verdicts_is_forgotten(folder, tmp_path):
    cache = tmp_path / "work" / "checked.json"
    cache.parent.mkdir()
    for content in (b"{", b"[1]", b"\xff", b"[" * 100_000, b"null"):
        cache.write_bytes(content)
        contents.check_images(folder, cache)
        assert json.loads(cache.read_bytes()).keys() == {str(folder.resolve())}
    cache.unlink()
    cache.mkdir()
    contents.check_images(folder, cache)
