"""What a raw dataset folder may be, and the one sentence that refuses what it may not be."""

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from builders import edit_table, make_dataset
from PIL import Image

from likeness.data import contents, images, layout
from likeness.data.layout import DatasetError


def refusal(folder: Path) -> str:
    """Give the sentence that refuses a folder; it is one line."""
    with pytest.raises(DatasetError) as caught:
        layout.check(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
    raw = layout.check(make_dataset(tmp_path, dims=dims, size=20, **parts))
    assert raw.meta["background"] == 0
    assert raw.meta["intensity"] == {"rule": "quantile", "low": 0.001, "high": 0.999}
    assert layout.capabilities(tmp_path) == {"spatial_dims": dims, "parts": list(layout.FILES)}


def test_unknown_columns_are_kept(folder):
    edit_table(folder / "subjects.csv", 0, "scanner", "A")
    assert layout.check_tables(folder).subjects.scanner.iloc[0] == "A"


def test_labels_count_only_where_all_that_train_have_one(folder):
    table = pd.read_csv(folder / "subjects.csv", dtype=str, keep_default_na=False)
    for split, counted in (("test", True), ("train", False)):
        edit_table(folder / "subjects.csv", int(table.index[table.split == split][0]), "label", "")
        assert ("label" in layout.capabilities(folder)["parts"]) is counted


def test_an_empty_column_is_no_capability(folder):
    edit_table(folder / "subjects.csv", 0, "mask", "")
    assert layout.capabilities(folder)["parts"] == ["image", "label"]


@pytest.mark.parametrize("name", ["dataset.yaml", "subjects.csv"])
def test_missing_table(folder, name):
    (folder / name).unlink()
    assert f"{name}: missing; write" in refusal(folder)


def test_missing_folder(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spacng": [1, 1]}, "unknown key 'spacng'; did you mean 'spacing'?"),
        ({"pairs": {"max_gaps": 2}}, "unknown key 'pairs.max_gaps'; did you mean 'max_gap'?"),
        ({"intensity": {"rule": "quantil"}}, "key 'intensity.rule': 'quantil' is not one of"),
        ({"intensity": {"rule": "quantile", "high": 5}}, "give 0 <= low < high <= 1"),
        ({"intensity": {"rule": "range", "low": 3, "high": 1}}, "give intensities low < high"),
        ({"spacing": [1, 1, 1]}, "key 'spacing' has 3 entries but spatial_dims is 2"),
        ({"spacing": ["a", 1]}, "key 'spacing.0': 'a' is not of type 'number'; it is: Distance between"),
        ({"spacing": [0, 1]}, "key 'spacing.0': 0 is less than"),
        ({"spatial_dims": 4}, "key 'spatial_dims': 4 is not one of [2, 3]"),
        ({"name": 2024}, "key 'name': 2024 is not of type 'string'"),
        ({"labels": {"one": "x"}}, "has the entry 'one', which is no whole number"),
        ({"labels": {0: "a", 1: "b", 2: "b"}}, "the name 'b' is given to two values"),
        ({"labels": {0: "a", 1: "b", 2: "mean"}}, "the name 'mean' stands for a sum over labels"),
        ({"labels": {}, "evaluate": []}, "key 'labels' is missing or empty"),
        ({"evaluate": []}, "key 'evaluate' is missing or empty"),
        ({"evaluate": [1, 7]}, "key 'evaluate' has 7, which 'labels' does not name"),
        ({"evaluate": [0, 1]}, "key 'evaluate' has the background 0; take it out or set 'background: null'"),
        ({"kinds": {"inside": [1, 7]}}, "key 'kinds' has 7 but 'labels' does not name it"),
        ({"kinds": {"inside": [1, 2], "other": [2]}}, "key 'kinds' has 2 twice"),
        ({"pairs": {"within": "grop"}}, "key 'pairs.within' needs the column 'grop', which subjects.csv lacks"),
        ({"pairs": {"max_gap": 2}}, "key 'pairs.max_gap' needs the column 'position'"),
        ({"pairs": {"moving": {"split": "trane"}}}, "'trane', which no subject has; did you mean 'train'?"),
        ({"pairs": {"moving": {"split": "train"}}}, "gives no pair in split 'val'"),
        ({"labels": {0: "background", 1: "dark"}, "evaluate": [1]}, "has the label value 2, which key 'labels'"),
    ],
)
def test_dataset_yaml(folder, changes, words):
    change_meta(folder, **changes)
    message = refusal(folder)
    assert words in message
    assert str(folder) in message


def test_a_required_key_is_missing(folder):
    path = folder / "dataset.yaml"
    path.write_text(path.read_text().replace("spacing_unit: mm\n", ""))
    assert "key 'spacing_unit' is missing; it is: Unit of spacing" in refusal(folder)


def test_a_misspelt_required_key_is_told_as_misspelt(folder):
    path = folder / "dataset.yaml"
    path.write_text(path.read_text().replace("spatial_dims", "spatial_dim"))
    assert "unknown key 'spatial_dim'; did you mean 'spatial_dims'?" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nname: b\n", "key 'name' is given twice in the block that starts on line 1"),
        ("name: [a\n", "dataset.yaml: while parsing"),
        ("- a\n", "is not a table of keys and values"),
        ("labels:\n  1: a\n  1: b\n", "key '1' is given twice in the block that starts on line 2"),
    ],
)
def test_malformed_yaml(folder, text, words):
    (folder / "dataset.yaml").write_text(text)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("row", "column", "entry", "words"),
    [
        (1, "subject", "train0", "subject 'train0' has two rows"),
        (0, "subject", "a/b", "column 'subject' has 'a/b'; use letters"),
        (0, "split", "trian", "column 'split' of subject 'train0' has 'trian'; did you mean 'train'?"),
        (0, "image", "", "column 'image' of subject 'train0' is empty"),
        (0, "image", "image/none.png", "has 'image/none.png', which does not exist"),
        (0, "image", "image/a.jpg", "save it in a format that is read here: .png"),
        (0, "field", "f.png", "save it in a format that is read here: .npz"),
        (0, "position", "first", "column 'position' of subject 'train0' has 'first'; give a number"),
        (0, "position", "inf", "has 'inf'; give a number"),
    ],
)
def test_subjects(folder, row, column, entry, words):
    edit_table(folder / "subjects.csv", row, column, entry)
    assert words in refusal(folder)


def test_a_position_that_the_rule_needs_is_empty(folder):
    change_meta(folder, pairs={"max_gap": 1})
    edit_table(folder / "subjects.csv", 1, "position", 3)
    assert "column 'position' of subject 'train0' is empty, but key 'pairs.max_gap'" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject,image\n", "column 'split' is missing"),
        ("subject;image;split\n", "column 'subject' is missing (separated by semicolons? use commas)"),
        ("subject,image,split,split\n", "column 'split' is there twice"),
        ("subject,image,split\na,b\n", "line 2 has 2 entries but the header has 3"),
        ("subject,image,split\na,b,train,d\n", "line 2 has 4 entries but the header has 3"),
        ("", "column 'subject' is missing"),
    ],
)
def test_malformed_csv(folder, text, words):
    (folder / "subjects.csv").write_text(text)
    assert words in refusal(folder)


def test_a_byte_order_mark_and_empty_lines_do_no_harm(folder):
    path = folder / "subjects.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n,,,\n")
    assert len(layout.check_tables(folder).subjects) == 7


def test_empty_split(tmp_path):
    folder = make_dataset(tmp_path, subjects={"train": 2, "val": 2})
    assert "split 'test' has no subject" in refusal(folder)


def test_nothing_to_score(tmp_path):
    folder = make_dataset(tmp_path, with_label=False)
    assert "split 'val' could not be scored; give its subjects one of label" in refusal(folder)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("train,train0,train9", "names 'train9', which subjects.csv does not; did you mean 'train"),
        ("train,train0,train0", "registers a subject to itself"),
        ("train,train0,test0", "crosses splits, since 'test0' is in 'test'"),
        ("test,train0,train1", "crosses splits, since 'train0' is in 'train'"),
        ("tests,train0,train1", "has 'tests'; did you mean 'test'?"),
        ("train,train1,train2\ntrain,train1,train2", "is listed twice"),
    ],
)
def test_pairs(folder, pair, words):
    (folder / "pairs.csv").write_text(f"split,moving,fixed\n{pair}\n")
    message = refusal(folder)
    assert words in message
    assert "pairs.csv" in message


def rewrite(folder: Path, part: str, change, subject: str = "train1") -> Path:
    """Change the values of a PNG, in its type unless the change gives another."""
    path = folder / part / f"{subject}.png"
    Image.fromarray(change(np.asarray(Image.open(path)))).save(path)
    return path


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("image", np.zeros_like, "is constant (0 everywhere)"),
        ("image", lambda a: a[:-1], "has the shape (32, 32), but its image has (31, 32)"),
        ("image", lambda a: np.repeat((a >> 8).astype(np.uint8)[..., None], 3, -1), "is a colour picture (mode RGB)"),
        ("label", lambda a: a[:, :-1], "has the shape (32, 31), but its image has (32, 32)"),
        ("label", np.zeros_like, "the label map is background (0) everywhere"),
        ("label", lambda a: a + 5, "has the label value 5, which key 'labels' of dataset.yaml does not name"),
        ("mask", np.zeros_like, "the mask is empty"),
    ],
)
def test_pictures(tmp_path, part, change, words):
    folder = make_dataset(tmp_path, with_mask=True)
    path = rewrite(folder, part, change)
    message = refusal(folder)
    assert words in message
    assert path.name in message


def test_images_of_different_shape(tmp_path):
    folder = make_dataset(tmp_path)
    for part in ("image", "label"):
        rewrite(folder, part, lambda a: a[:-1])
    message = refusal(folder)
    assert "has the shape (31, 32), but 'train0' has (32, 32); resample, crop or pad all images" in message


@pytest.mark.parametrize("part", ["image", "label"])
@pytest.mark.parametrize("keep", [0, 20, 0.5])
def test_truncated_png(folder, part, keep):
    path = folder / part / "val0.png"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if keep < 1 else keep])
    assert f"{path}: cannot be read" in refusal(folder)


def test_truncated_nifti(volumes):
    path = volumes / "image" / "val0.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{path}: cannot be read" in refusal(volumes)


def test_truncated_tiff(folder):
    path = folder / "image" / "val0.tif"
    tifffile.imwrite(path, np.asarray(Image.open(path.with_suffix(".png"))))
    edit_table(folder / "subjects.csv", 3, "image", "image/val0.tif")
    layout.check(folder)
    path.write_bytes(path.read_bytes()[:-300])
    assert f"{path}: cannot be read" in refusal(folder)


def test_colour_tiff(folder):
    path = folder / "image" / "val0.tif"
    tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    edit_table(folder / "subjects.csv", 3, "image", "image/val0.tif")
    assert "is a colour or multi-channel picture" in refusal(folder)


def test_not_finite(folder):
    path = folder / "image" / "val0.tif"
    values = np.asarray(Image.open(path.with_suffix(".png"))).astype(np.float32)
    values[3, 4] = np.nan
    tifffile.imwrite(path, values)
    edit_table(folder / "subjects.csv", 3, "image", "image/val0.tif")
    assert "has values that are not finite" in refusal(folder)


@pytest.mark.parametrize("dims", [2, 3])
def test_spatial_dims_does_not_fit(tmp_path, dims):
    folder = make_dataset(tmp_path, dims=dims, size=16)
    change_meta(folder, spatial_dims=5 - dims, spacing=[1.0] * (5 - dims))
    assert f"but dataset.yaml says 'spatial_dims: {5 - dims}'" in refusal(folder)


def save_nifti(path: Path, values: np.ndarray, affine: np.ndarray | None, unit: str = "mm") -> None:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, a: (np.stack([v, v], -1), a), "has the shape (16, 16, 8, 2), but dataset.yaml says"),
        (lambda v, _: (v, None), "its header has no affine"),
        (lambda v, a: (v, a @ np.diag([2, 1, 1, 1])), "its header has the spacing [2.0, 2.0, 3.0] (x, y, z), but key"),
        (lambda v, a: (v.astype(np.complex64), a), "has values of type complex64"),
        (lambda v, a: (v, a + np.eye(4, k=3)), "away from its image; save it with the image's affine"),
    ],
)
def test_volumes(volumes, change, words):
    path = volumes / "image" / "val0.nii.gz"
    save_nifti(path, *change(*stored(path)))
    assert words in refusal(volumes)


def test_singular_affine(volumes):
    path = volumes / "image" / "val0.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:296] = bytes(16)  # srow_x of the header
    path.write_bytes(gzip.compress(bytes(content)))
    assert "its affine cannot be inverted" in refusal(volumes)


def test_a_header_in_another_unit_agrees(volumes):
    change_meta(volumes, spacing=[1000.0, 2000.0, 3000.0], spacing_unit="um")
    for path in volumes.glob("*/*.nii.gz"):
        save_nifti(path, *stored(path), unit="mm")
    layout.check(volumes)


def test_whole_numbers_stored_as_floats_are_labels(volumes):
    path = volumes / "label" / "val0.nii.gz"
    values, affine = stored(path)
    save_nifti(path, values.astype(np.float32), affine)
    layout.check(volumes)
    save_nifti(path, values.astype(np.float32) + 0.5, affine)
    assert "has values that are no whole numbers" in refusal(volumes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("i,j\n1,2\n", "has 1 points, but 'train0' has 3"),
        ("i,j\n1,2\n3,400\n5,6\n", "point 2 at [3.0, 400.0] is outside its image of (32, 32) voxels"),
        ("i,j,k\n1,2,3\n", "write one point a row as 2 numbers"),
        ("i,j\n1,\n", "write one point a row as 2 numbers"),
        ("i,j\n1,2,3\n4,5,6\n", "write one point a row as 2 numbers"),
        ("", "has no header"),
        ("4,5\n6,7\n8,9\n", "has no header; name the 2 axes in the first line, for example i,j"),
    ],
)
def test_landmarks(tmp_path, text, words):
    folder = make_dataset(tmp_path, with_landmarks=True)
    (folder / "landmarks" / "train1.csv").write_text(text)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"displacement": np.zeros((32, 32, 3))}, "a displacement of its image has (32, 32, 2)"),
        ({"displacement": np.zeros((2, 32, 32))}, "has the shape (2, 32, 32)"),
        ({"displacement": np.full((32, 32, 2), np.nan)}, "values that are not finite"),
        ({"field": np.zeros((32, 32, 2))}, "has no array 'displacement'"),
    ],
)
def test_fields(tmp_path, arrays, words):
    folder = make_dataset(tmp_path, with_field=True)
    np.savez(folder / "field" / "train1.npz", **arrays)
    assert words in refusal(folder)


def test_a_pickle_is_not_opened(tmp_path):
    folder = make_dataset(tmp_path, with_field=True)
    np.savez(folder / "field" / "train1.npz", displacement=np.array([{}], dtype=object))
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PSR", "SRA", "IPL", "ARI", "RSP"])
def test_orientation_turns_image_field_and_landmarks_alike(tmp_path, codes):
    parts = {f"with_{part}": True for part in ("field", "landmarks", "mask")}
    folder = make_dataset(tmp_path, dims=3, size=16, **parts)
    raw = layout.check(folder)
    before = contents.read(raw, "test1")
    store_as(folder, "test1", codes)
    assert nib.aff2axcodes(nib.load(folder / "image" / "test1.nii.gz").affine) == tuple(codes)
    after = contents.read(raw, "test1")
    for part in ("image", "label", "mask", "field"):
        np.testing.assert_array_equal(getattr(after, part), getattr(before, part))
    np.testing.assert_allclose(after.landmarks, before.landmarks)


def store_as(folder: Path, subject: str, codes: str) -> None:
    """Store a canonical subject in another orientation, its field and landmarks in voxels of that storage."""
    turn = nib.orientations.axcodes2ornt(codes)
    order, flip = turn[:, 0].astype(int), turn[:, 1] < 0  # stored axis i shows canonical axis order[i]
    shape = None
    for part in ("image", "label", "mask"):
        path = folder / part / f"{subject}.nii.gz"
        values, affine = stored(path)
        shape = np.array(values.shape)
        back = nib.orientations.ornt_transform(nib.io_orientation(affine), turn)
        moved = nib.Nifti1Image(values, affine).as_reoriented(back)
        nib.save(moved, path)
    path = folder / "field" / f"{subject}.npz"
    with np.load(path) as arrays:
        field = arrays["displacement"]
    field = np.flip(np.transpose(field, (*order, 3)), tuple(np.flatnonzero(flip)))
    np.savez(path, displacement=field[..., order] * np.where(flip, -1, 1))
    path = folder / "landmarks" / f"{subject}.csv"
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
    raw = layout.check(folder)
    before = contents.read(raw, "train0").field
    affine = stored(folder / "image" / "train0.nii.gz")[1]
    flipped = affine @ np.array([[-1, 0, 0, 15], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    save_nifti(folder / "field" / "train0.nii.gz", before[::-1] * [-1, 1, 1], flipped)
    edit_table(folder / "subjects.csv", 0, "field", "field/train0.nii.gz")
    np.testing.assert_array_equal(contents.read(layout.check(folder), "train0").field, before)


def test_a_nifti_label_of_a_png_image_is_refused(folder):
    label = np.asarray(Image.open(folder / "label" / "train0.png"))
    save_nifti(folder / "label" / "train0.nii", label, np.eye(4))
    edit_table(folder / "subjects.csv", 0, "label", "label/train0.nii")
    assert "only one of this file and its image is NIfTI" in refusal(folder)


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
    with pytest.raises(DatasetError, match="colour picture"):
        images.read(tmp_path / "a.png", 2)


def test_a_good_verdict_is_remembered_until_a_file_changes(folder, tmp_path, monkeypatch):
    cache = tmp_path / "work" / "checked.json"
    layout.check_images(folder, cache)
    states = layout.states(folder)

    def refuse(raw):
        raise AssertionError(raw.folder)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "check", refuse)
        layout.check_images(folder, cache)
    rewrite(folder, "image", np.zeros_like)
    assert layout.states(folder) != states
    for _ in range(2):
        with pytest.raises(DatasetError, match="is constant"):
            layout.check_images(folder, cache)


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


def test_every_key_of_the_schema_is_described():
    schema = yaml.safe_load((Path(layout.__file__).parents[3] / "schemas" / "dataset.schema.yaml").read_text())

    def properties(part):
        for key, entry in part.get("properties", {}).items():
            yield key, entry
            yield from properties(entry)

    assert all(entry.get("description") for _, entry in properties(schema))
