"""Landmarks correspond within a pair: a point that is not known keeps its row, whatever the columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from builders import edit_table, make_dataset
from refusals import refused

from likeness.data import contents, landmarks
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.scores import score_pair
from likeness.imageio.images import Grid, read_grid
from likeness.userinput.errors import DatasetError

PICTURE = Grid((32, 20), (0, 1), (False, False))


def points(folder: Path, text: str, grid: Grid = PICTURE, **stated: str) -> np.ndarray:
    (folder / "a.csv").write_text(text)
    return landmarks.read(folder / "a.csv", grid, stated)


@pytest.mark.parametrize(
    "text",
    [
        "i,j\n1,2\n,\n3,4\n",
        "i,j\n1,2\n\n3,4\n",
        "i,j\n1,2\nnan,NaN\n3,4\n\n\n",
        "name,i,j\nnose,1,2\near,,\nchin,3,4\n",
        "i,j,x,note\n1,2,7,a\nNA,n/a,7,b\n3,4,7,\n",
        "\ni,j\r\n1,2\r\n,\r\n3,4\r\n",
        "i,j\n1,2\n  \n3,4\n \t\n",
    ],
)
def test_a_point_that_is_not_known_keeps_its_row(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(points(tmp_path, text), [[1, 2], [np.nan, np.nan], [3, 4]])


def test_up_to_half_a_voxel_outside_is_inside(tmp_path: Path) -> None:
    np.testing.assert_array_equal(points(tmp_path, "i,j\n-0.5,-0.4\n31.5,19.4\n"), [[-0.5, -0.4], [31.5, 19.4]])
    for text in ("i,j\n1,2\n31.6,3\n", "i,j\n1,2\n3,-0.6\n"):
        with refused(DatasetError, f"{tmp_path}/a.csv: ", "point 2", "(32, 20)", "zero-based"):
            points(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "stated", "facts"),
    [
        ("i,j\n,\nnan,nan\n", {}, ["no point", "empty"]),
        ("i,j\n1,2\n3,\n", {}, ["'3,'", "per row", "2 numbers"]),
        ("i,j\n1,2\n3,inf\n", {}, ["'3,inf'", "2 numbers"]),
        ("i,j\n1,2,3\n", {}, ["3 entries", "2"]),
        ("i,j\n1_0,2\n", {}, ["'1_0,2'", "2 numbers"]),
        ("i;j\n1;2\n", {}, ["'i;j'", "commas"]),
        ("x,y\n1,2\n", {}, ["'x,y'", "i,j", "row of a picture", "'landmarks'"]),
        ("i,j,k\n1,2,3\n", {}, ["'i,j,k'", "i,j"]),
        ("i,j\n1,2\n", {"space": "voxel"}, ["'i,j'", "x,y", "'landmarks'"]),
        ("i,j\n5,30\n5,10\n", {}, ["point 1", "[5.0, 30.0]", "exchange"]),
        ("x,y\n1,2\n", {"space": "world"}, ["picture", "'space: voxel'"]),
    ],
)
def test_what_is_found_is_named(tmp_path: Path, text: str, stated: dict[str, str], facts: list[str]) -> None:
    with refused(DatasetError, f"{tmp_path}/a.csv: ", *facts):
        points(tmp_path, text, **stated)


@pytest.mark.parametrize(("file", "wanted"), [({}, [5, 30]), ({"file": "xy"}, [5, 30]), ({"file": "ij"}, [30, 5])])
def test_x_of_a_picture_is_its_column_unless_stated_otherwise(
    tmp_path: Path, file: dict[str, str], wanted: list[int]
) -> None:
    grid = PICTURE if "ij" in file.values() else Grid((20, 32), (0, 1), (False, False))
    np.testing.assert_array_equal(points(tmp_path, "x,y\n30,5\n", grid, space="voxel", **file), [wanted])


@pytest.fixture
def oblique(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Give a volume whose axes are permuted, mirrored and turned, and its affine."""
    turn = nib.eulerangles.euler2mat(0.1, -0.2, 0.15)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, -2.0], [1.5, 0, 0], [0, 3.0, 0]])
    affine[:3, 3] = (-40, 25, 10)
    image = nib.Nifti1Image(np.zeros((16, 12, 10), np.uint8), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz", affine


@pytest.mark.parametrize("convention", ["ras", "lps"])
def test_places_in_the_world_are_those_of_the_same_voxels(
    tmp_path: Path, oblique: tuple[Path, np.ndarray], convention: str
) -> None:
    path, affine = oblique
    grid = read_grid(path, 3)
    voxels = np.array([[1.0, 2.0, 3.0], [14.5, 0.0, 9.0]])
    world = nib.affines.apply_affine(affine, voxels) * ([1, 1, 1] if convention == "ras" else [-1, -1, 1])
    pd.DataFrame(voxels, columns=list("ijk")).to_csv(tmp_path / "voxels.csv", index=False)
    pd.DataFrame(world, columns=list("xyz")).to_csv(tmp_path / "world.csv", index=False)
    by_voxel = landmarks.read(tmp_path / "voxels.csv", grid)
    by_world = landmarks.read(tmp_path / "world.csv", grid, {"space": "world", "convention": convention})
    np.testing.assert_allclose(by_world, by_voxel, atol=1e-4)
    pd.DataFrame(world, columns=list("ijk")).to_csv(tmp_path / "voxels.csv", index=False)
    with refused(DatasetError, f"{tmp_path}/voxels.csv: ", "point 1", f"space: world, convention: {convention}"):
        landmarks.read(tmp_path / "voxels.csv", grid)


def write(folder: Path, **rows: list[Any]) -> None:
    for id, found in rows.items():
        (folder / "landmarks" / f"{id}.csv").write_text("\n".join(["i,j", *found]) + "\n")


def test_only_scored_pairs_need_equal_rows(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path, with_landmarks=True, images={"train": 2, "val": 2, "test": 3})
    write(folder, train0=["1,2"], val0=["3,4"] * 5, val1=["3,4"] * 5, test2=["5,6"] * 2)
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,test0,test1\ntest,test1,test0\n")
    contents.check(folder)
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,test0,test1\ntest,test2,test1\ntest,test1,test2\n")
    with refused(DatasetError, f"{folder}/landmarks/test2.csv: ", "2 points", "'test1'", "3"):
        contents.check(folder)
    with refused(DatasetError, f"{folder}/landmarks/test2.csv: ", "2 points", "'test1'", "3"):
        prepare(folder, tmp_path / "prepared")
    write(folder, test1=["5,6", ""], test2=["", "5,6"])
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,test1,test2\n")
    with refused(DatasetError, f"{folder}/landmarks/test1.csv: ", "known", "'test2'"):
        contents.check(folder)


def test_points_are_paired_by_row_where_some_are_missing(tmp_path: Path) -> None:
    """Other points are missing in each image; the error is that of the one that both have, 3 rows and 4 columns."""
    folder = make_dataset(tmp_path / "raw", with_landmarks=True, with_label=False, labels=None, evaluate=None)
    write(folder, test0=["1,1", "", "10,10"], test1=["", "20,20", "13,14"])
    meta = yaml.safe_load((folder / "dataset.yaml").read_text()) | {"spacing": [1.0, 1.0]}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(meta))
    contents.check(folder)
    prepare(folder, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    rows = score_pair(dataset, dataset.load("test0"), dataset.load("test1"), None)
    assert [row["value"] for row in rows if row["metric"] == "tre"] == [5.0]


def test_landmarks_in_the_world_are_a_part_like_others(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path, dims=3, size=16, with_landmarks=True)
    before = contents.read(contents.check(folder), "test0").landmarks
    for path in folder.glob("landmarks/*.csv"):
        image = nib.load(folder / "image" / f"{path.stem}.nii.gz")
        world = nib.affines.apply_affine(image.affine, pd.read_csv(path).to_numpy())
        pd.DataFrame(world, columns=list("xyz")).assign(name="p").to_csv(path, index=False)
    meta = yaml.safe_load((folder / "dataset.yaml").read_text()) | {"landmarks": {"space": "world"}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(meta))
    np.testing.assert_allclose(contents.read(contents.check(folder), "test0").landmarks, before, atol=1e-5)
    edit_table(folder / "images.csv", 0, "landmarks", "")
    contents.check(folder)
