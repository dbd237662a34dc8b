"""Fields as others keep them: read back as they were, and resampled with by ITK and ANTs to the same moved image."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from likeness.geometry import to_tensor, warp, warp_labels
from likeness.imageio import conventions, itk, learn2reg, stored
from likeness.imageio.conventions import CONVENTIONS
from likeness.imageio.images import Grid, read
from likeness.imageio.placement import Placement
from likeness.userinput.errors import DatasetError

SHAPE = (14, 12, 10)
TOLERANCE = 2e-4
"""Of voxels: files have single precision, and places lie far from the origin."""


def rotation(*degrees: float) -> np.ndarray:
    """Give the rotation about x, y and z, one after another, ``(3, 3)``."""
    made = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        made = turn @ made
    return made


def affine(spacing: tuple[float, ...], origin: tuple[float, ...], turn: np.ndarray) -> np.ndarray:
    """Give an affine ``(4, 4)``."""
    made = np.eye(4)
    made[:3, :3] = turn * np.array(spacing)
    made[:3, 3] = origin
    return made


FLIPPED = np.diag([-1.0, 1.0, -1.0])
SWAPPED = np.eye(3)[[2, 0, 1]]
PLACES = {
    "plain": (affine((1, 1, 1), (0, 0, 0), np.eye(3)),) * 2,
    "anisotropic": (affine((0.8, 2.5, 1.3), (-30, 12, 7), np.eye(3)),) * 2,
    "flipped": (affine((1, 2, 3), (10, -20, 30), FLIPPED),) * 2,
    "swapped": (affine((1, 2, 3), (10, -20, 30), SWAPPED),) * 2,
    "oblique": (affine((1, 2, 3), (-80, 40, 5), rotation(8, -14, 21)),) * 2,
    "apart": (
        affine((1.1, 1.9, 2.8), (-79, 41.5, 5.5), rotation(6, -11, 25) @ FLIPPED),
        affine((1, 2, 3), (-80, 40, 5), rotation(8, -14, 21)),
    ),
}
"""Affines of a moving and a fixed image."""
IN_PLANE = {
    "oblique": (affine((1, 2, 1), (-80, 40, 0), rotation(0, 0, 21)),) * 2,
    "apart": (
        affine((1.1, 1.9, 1), (-79, 41.5, 0), rotation(0, 0, 25)),
        affine((1, 2, 1), (-80, 40, 0), rotation(0, 0, 21)),
    ),
}
"""Such affines of files with two axes, which ITK knows nothing else of."""
ONE_PLANE = (
    affine((1.1, 1.9, 3), tuple(rotation(8, -14, 21) @ (0.4, 0.6, 0)), rotation(8, -14, 21) @ rotation(0, 0, 5)),
    affine((1, 2, 3), (0, 0, 0), rotation(8, -14, 21)),
)
"""Such affines of two slices that do not lie across each other."""


KINDS = ("3D", "slice", "2D", "picture")


@dataclass(frozen=True)
class Case:
    """A pair with a field of ours."""

    moving: np.ndarray
    label: np.ndarray
    places: tuple[Placement, Placement]
    grids: tuple[Grid, Grid]
    files: tuple[Path, Path, Path]
    """Of the moving image, its labels and the fixed image."""
    field: np.ndarray

    def moved(self) -> np.ndarray:
        return warp(to_tensor(self.moving[..., None]), to_tensor(self.field))[0, 0].numpy()

    def moved_labels(self) -> np.ndarray:
        return warp_labels(self.label, self.field)

    def inside(self, margin: float = 0.01) -> np.ndarray:
        """Tell where the moved image is not made of what lies outside."""
        points = np.moveaxis(np.indices(self.field.shape[:-1]), 0, -1) + self.field
        return ((points > margin) & (points < np.array(self.moving.shape) - 1 - margin)).all(-1)

    def decided(self) -> np.ndarray:
        """Tell where the nearest voxel is no tie."""
        points = np.moveaxis(np.indices(self.field.shape[:-1]), 0, -1) + self.field
        return self.inside() & (np.abs(points - np.floor(points) - 0.5) > 0.01).all(-1)


def smooth(random: np.random.Generator, shape: tuple[int, ...], amplitude: float = 1.5) -> np.ndarray:
    """Give a smooth field ``(*shape, dims)``."""
    noise = random.standard_normal((*shape, len(shape)))
    field = np.stack([gaussian_filter(noise[..., i], 2) for i in range(len(shape))], -1)
    return (amplitude * field / np.abs(field).max()).astype(np.float32)


def case(folder: Path, kind: str, affines: tuple[np.ndarray, np.ndarray], seed: int = 0) -> Case:
    """Write a pair and read it as preparing does.

    Args:
        folder: for its files.
        kind: ``3D``, ``slice``, a volume of one, ``2D`` or ``picture``.
        affines: of the moving and the fixed image.
        seed: of all that is random.
    """
    random, dims = np.random.default_rng(seed), 3 if kind == "3D" else 2
    shape = {"3D": SHAPE, "slice": (*SHAPE[:2], 1)}.get(kind, SHAPE[:2])
    found, files, grids = [], [], []
    for name, place in (("moving", affines[0]), ("label", affines[0]), ("fixed", affines[1])):
        values = gaussian_filter(random.uniform(0, 200, shape), 1).astype(np.uint8)
        values = values // 40 if name == "label" else values
        path = folder / f"{name}.{'png' if kind == 'picture' else 'nii.gz'}"
        if kind == "picture":
            Image.fromarray(values).save(path)
        else:
            image = nib.Nifti1Image(values, place)
            image.header.set_xyzt_units("mm")
            nib.save(image, path)
        array, grid = read(path, dims)
        found.append(array)
        files.append(path)
        grids.append(grid)
    field = smooth(random, found[2].shape)
    moving, label, fixed = files
    return Case(
        found[0].astype(np.float32),
        found[1],
        (grids[0].placement, grids[2].placement),
        (grids[0], grids[2]),
        (moving, label, fixed),
        field,
    )


# to ITK an image of two axes that is swapped has no area
CASES = [(kind, place) for kind in KINDS for place in PLACES if (kind, place) != ("2D", "swapped")]


@pytest.fixture(params=CASES, ids=["-".join(both) for both in CASES])
def kind_and_place(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def kind(kind_and_place: tuple[str, str]) -> str:
    return kind_and_place[0]


@pytest.fixture
def pair(kind_and_place: tuple[str, str], tmp_path: Path) -> Case:
    kind, place = kind_and_place
    affines = PLACES[place]
    if kind == "2D" and place in IN_PLANE:
        affines = IN_PLANE[place]
    if kind == "slice" and place == "apart":
        affines = ONE_PLANE
    return case(tmp_path, kind, affines)


def exported(folder: Path, convention: str, pair: Case) -> Path:
    """Write the field of a pair and give its path."""
    out = folder / convention
    out.mkdir()
    conventions.write(out, convention, "m+f", pair.field, *pair.places)
    return next(out.iterdir())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_what_is_written_is_read(pair: Case, convention: str, tmp_path: Path) -> None:
    path = exported(tmp_path, convention, pair)
    found = CONVENTIONS[convention].read(path, *pair.places)
    assert found.dtype == np.float32
    assert np.abs(found - pair.field).max() < TOLERANCE


def resampled(pair: Case, path: Path, file: Path, interpolator: int) -> np.ndarray:
    """Resample with SimpleITK, and turn the result as preparing does."""
    field = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(field)
    moving, fixed = sitk.ReadImage(str(file)), sitk.ReadImage(str(pair.files[2]))
    moved = sitk.Resample(sitk.Cast(moving, sitk.sitkFloat64), fixed, transform, interpolator, 0.0)
    array = sitk.GetArrayFromImage(moved)
    array = array if file.suffix == ".png" else array.T
    return pair.grids[1].turn(array.reshape(pair.grids[1].shape))


def test_itk_resamples_to_the_same_moved_image(pair: Case, tmp_path: Path) -> None:
    path = exported(tmp_path, "itk", pair)
    moved = resampled(pair, path, pair.files[0], sitk.sitkLinear)
    assert pair.inside().mean() > 0.5
    assert np.abs(moved - pair.moved())[pair.inside()].max() < 0.02
    labels = resampled(pair, path, pair.files[1], sitk.sitkNearestNeighbor)
    assert (labels == pair.moved_labels())[pair.decided()].all()


def test_ants_resamples_to_the_same_moved_image(pair: Case, kind: str, tmp_path: Path) -> None:
    import ants

    path = exported(tmp_path, "itk", pair)
    fixed = ants.image_read(str(pair.files[2]), dimension=2 if kind in ("2D", "picture") else 3)
    inside = {"linear": pair.inside(), "nearestNeighbor": pair.decided()}
    for file, mode, ours in (
        (pair.files[0], "linear", pair.moved()),
        (pair.files[1], "nearestNeighbor", pair.moved_labels()),
    ):
        moving = ants.image_read(str(file), dimension=fixed.dimension)
        moved = ants.apply_transforms(fixed, moving, [str(path)], interpolator=mode).numpy()
        array = moved.T if kind == "picture" else moved
        array = pair.grids[1].turn(array.reshape(pair.grids[1].shape))
        assert np.abs(array - ours)[inside[mode]].max() < (0.02 if mode == "linear" else 0.5)


places = st.tuples(
    st.tuples(*[st.floats(0.3, 4)] * 3),
    st.tuples(*[st.floats(-200, 200)] * 3),
    st.tuples(*[st.floats(-180, 180)] * 3),
)


@settings(max_examples=25)
@given(moving=places, fixed=places, seed=st.integers(0, 1000), convention=st.sampled_from([*CONVENTIONS]))
def test_any_two_places_give_the_field_back(
    tmp_path_factory: pytest.TempPathFactory, moving, fixed, seed: int, convention: str
) -> None:
    folder = tmp_path_factory.mktemp("places")
    affines = [affine(spacing, origin, rotation(*angles)) for spacing, origin, angles in (moving, fixed)]
    pair = case(folder, "3D", (affines[0], affines[1]), seed)
    found = CONVENTIONS[convention].read(exported(folder, convention, pair), *pair.places)
    # of millimetres in single precision, up to as far as both images lie apart
    assert np.abs(found - pair.field).max() < (4e-3 if convention == "itk" else 1e-5)


# of a slice, ITK writes no third axis into NIfTI
@pytest.mark.parametrize(
    ("kind", "ending"),
    [*(("3D", ending) for ending in (".nii.gz", ".nii", ".mha", ".nrrd")), ("slice", ".mha"), ("slice", ".nrrd")],
)
def test_itk_may_store_the_axes_of_a_field_in_any_order_and_direction(tmp_path: Path, kind: str, ending: str) -> None:
    pair = case(tmp_path, kind, PLACES["oblique"])
    field = sitk.ReadImage(str(exported(tmp_path, "itk", pair)), sitk.sitkVectorFloat64)
    turned = sitk.Flip(sitk.PermuteAxes(field, (1, 0, 2)), (True, False, False))
    path = tmp_path / f"turned{ending}"
    sitk.WriteImage(turned, str(path))
    assert turned.GetDirection() != field.GetDirection()
    assert np.abs(itk.read(path, *pair.places) - pair.field).max() < TOLERANCE


def test_a_picture_may_have_a_spacing_to_itk(tmp_path: Path) -> None:
    pair = case(tmp_path, "picture", PLACES["plain"])
    field = sitk.ReadImage(str(exported(tmp_path, "itk", pair)), sitk.sitkVectorFloat64)
    assert (field.GetSpacing(), field.GetOrigin(), field.GetDirection()) == ((1, 1), (0, 0), (1, 0, 0, 1))
    wide = sitk.Compose([sitk.VectorIndexSelectionCast(field, i) * s for i, s in enumerate((0.5, 3.0))])
    wide.SetSpacing((0.5, 3.0))
    sitk.WriteImage(wide, str(tmp_path / "wide.mha"))
    assert np.abs(itk.read(tmp_path / "wide.mha", *pair.places) - pair.field).max() < TOLERANCE


@pytest.mark.parametrize("kind", ["3D", "2D", "picture"])
def test_learn2reg_is_in_voxels_of_the_files(tmp_path: Path, kind: str) -> None:
    moving, fixed = PLACES["flipped"][0], PLACES["plain"][1]
    pair = case(tmp_path, kind, (moving, fixed))
    stored_field = np.asanyarray(nib.load(exported(tmp_path, "learn2reg", pair)).dataobj)
    assert stored_field.shape == (*pair.grids[1].shape, len(pair.grids[1].shape))
    file = pair.files[1]
    read_alone = np.asarray(Image.open(file)) if kind == "picture" else np.asanyarray(nib.load(file).dataobj)
    moved = warp_labels(read_alone, stored_field)
    assert (pair.grids[1].turn(moved) == pair.moved_labels())[pair.decided()].all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("kind", ["3D", "2D"])
def test_learn2reg_at_half_resolution_is_brought_to_the_whole_grid(tmp_path: Path, kind: str, dtype: type) -> None:
    pair = case(tmp_path, kind, PLACES["flipped"])
    whole = np.moveaxis(np.asanyarray(nib.load(exported(tmp_path, "learn2reg", pair)).dataobj), -1, 0)
    half = np.stack([zoom(part, 0.5, order=2) for part in whole]).astype(dtype)
    path = tmp_path / "disp_f_m.npz"
    np.savez_compressed(path, half)
    # as the challenge's evaluation does it
    expected = np.stack([zoom(part, 2, order=2) for part in half.astype(np.float32)], -1)
    assert np.abs(learn2reg.read(path, *pair.places) - stored.from_stored(expected, *pair.places)).max() < 1e-5
    np.savez_compressed(path, whole.astype(dtype))
    assert np.abs(learn2reg.read(path, *pair.places) - pair.field).max() < 2e-3


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["OASIS_0395", "OASIS_0396"], ["disp_0396_0395", "disp_OASIS_0396_OASIS_0395"]),
        (["0001", "0002"], ["disp_0002_0001"]),
        (["a_0001_0000", "b_0001_0001"], ["disp_b_0001_0001_a_0001_0000"]),
        (["x12345", "y"], ["disp_y_x12345"]),
    ],
)
def test_learn2reg_names_images_by_four_digits_that_tell_them_apart(ids: list[str], expected: list[str]) -> None:
    moving, fixed = ids
    assert conventions.stems("learn2reg", [(moving, fixed)], ids) == {(moving, fixed): expected}


def test_a_name_for_two_pairs_and_two_files_of_one_pair_are_refused(tmp_path: Path) -> None:
    pairs = [("c", "a_b"), ("b_c", "a")]
    with pytest.raises(DatasetError, match=r"^disp_a_b_c: would be the file name of two pairs; "):
        conventions.stems("learn2reg", pairs, ["a", "b_c", "a_b", "c"])
    for name in ("a+b.mha", "a+b.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"a\+b\.nii\.gz: a\+b\.mha is of the same pair; keep one of them"):
        conventions.find(tmp_path, "itk", [("a", "b")], ["a", "b"])


def vectors(path: Path, shape: tuple[int, ...] = (*SHAPE, 1, 3), place: np.ndarray | None = None, **said) -> None:
    """Write a NIfTI field."""
    values = np.zeros(shape, said.pop("dtype", np.float32))
    values.flat[0] = said.pop("value", 0)
    image = nib.Nifti1Image(values, PLACES["plain"][1] if place is None else place)
    image.header.set_intent(said.pop("intent", 1007))
    nib.save(image, path)


def archive(path: Path, key: str, values: np.ndarray) -> None:
    np.savez(path, **{key: values})


NOWHERE = np.full((3, *SHAPE), np.nan, np.float32)
REFUSED = {
    "another shape": ("itk", "a.nii.gz", lambda p: vectors(p, (*SHAPE, 3)), "has float32 of shape (14, 12, 10, 3) and"),
    "no vectors": (
        "itk",
        "a.nii.gz",
        lambda p: vectors(p, intent=0),
        "and intent 0, but ITK expects floats",
    ),
    "whole numbers": ("itk", "a.nii.gz", lambda p: vectors(p, dtype=np.int16), "has int16 of shape"),
    "components": (
        "itk",
        "a.nii.gz",
        lambda p: vectors(p, (*SHAPE, 1, 2)),
        "has vectors of 2 components, but its fixed",
    ),
    "a slice": (
        "itk",
        "a.nii.gz",
        lambda p: vectors(p, (14, 12, 1, 1, 3)),
        "is a field of (14, 12, 1) voxels, but its",
    ),
    "another grid": (
        *("itk", "a.nii.gz", lambda p: vectors(p, place=affine((1, 1, 1), (0, 3, 0), np.eye(3)))),
        "its header places its (14, 12, 10) voxels elsewhere than the (14, 12, 10) of its fixed image, up to 3 mm away",
    ),
    "another size": (
        "itk",
        "a.nii.gz",
        lambda p: vectors(p, (14, 12, 9, 1, 3)),
        "its header places its (14, 12, 9) voxels",
    ),
    "not finite": (
        "itk",
        "a.nii.gz",
        lambda p: vectors(p, value=np.inf),
        "the displacement has non-finite values",
    ),
    "no meta image": ("itk", "a.mha", lambda p: p.write_text("NDims = 3"), "cannot be read as MetaImage"),
    "a lie": (
        *("itk", "a.mha"),
        lambda p: p.write_text(
            "ObjectType = Image\nNDims = 3\nDimSize = 14 12 10\nElementType = MET_FLOAT\nElementNumberOfChannels = 3\n"
            "TransformMatrix = -1 0 0 0 -1 0 0 0 1\nElementDataFile = LOCAL\n"
        ),
        "cannot be read as MetaImage",
    ),
    "a scalar": (
        *("itk", "a.nrrd", lambda p: sitk.WriteImage(sitk.Image(SHAPE, sitk.sitkFloat32), str(p))),
        "contains 32-bit float in 3D; save a displacement",
    ),
    "a picture": (
        "itk",
        "a.mha",
        lambda p: p.write_bytes(b"\x89PNG\r\n"),
        "is a PNG file, but its suffix is that of MetaImage",
    ),
    "another axis": (
        *("learn2reg", "a.npz", lambda p: archive(p, "arr_0", np.zeros((*SHAPE, 3)))),
        "has float64 of shape (14, 12, 10, 3), but a field on the grid of its fixed image's file has numbers of shape "
        "(3, 14, 12, 10), or half as many voxels per axis; save it like that, component first",
    ),
    "a third": (
        *("learn2reg", "a.npz", lambda p: archive(p, "arr_0", np.zeros((3, 5, 4, 3)))),
        "has float64 of shape (3, 5, 4, 3)",
    ),
    "another key": (
        *("learn2reg", "a.npz", lambda p: archive(p, "disp", np.zeros(3))),
        "has no array 'arr_0'; save it as np.savez(path, arr_0=field)",
    ),
    "holes": ("learn2reg", "a.npz", lambda p: archive(p, "arr_0", NOWHERE), "the displacement has non-finite"),
    "objects": (
        *("voxels", "a.npz", lambda p: archive(p, "displacement", np.array([p, {}], object))),
        "has object of shape (2,), but a field on the grid",
    ),
    "broken": ("voxels", "a.npz", lambda p: p.write_bytes(b"PK\3\4"), "cannot be read as NumPy arrays"),
    "turned": (
        *("voxels", "a.npz", lambda p: archive(p, "displacement", np.zeros((12, 14, 10, 3)))),
        "has float64 of shape (12, 14, 10, 3), but a field on the grid of its fixed image's file has numbers of shape "
        "(14, 12, 10, 3); save it like that, component last",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_field_of_the_convention_is_refused(tmp_path: Path, what: str) -> None:
    convention, name, write, words = REFUSED[what]
    pair = case(tmp_path, "3D", PLACES["plain"])
    write(tmp_path / name)
    with pytest.raises(DatasetError) as refusal:
        CONVENTIONS[convention].read(tmp_path / name, *pair.places)
    said = str(refusal.value)
    assert said.startswith(f"{tmp_path / name}: ")
    assert words in said
    assert ";" in said
    assert "\n" not in said


def test_images_that_itk_cannot_have_are_refused(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    flat = affine((1, 2, 3), (0, 0, 0), SWAPPED)
    for kind, place, words in (("3D", sheared, "are not orthogonal"), ("2D", flat, "ITK reads an image")):
        folder = tmp_path / kind
        folder.mkdir()
        pair = case(folder, kind, (place, place))
        with pytest.raises(DatasetError, match=words):
            exported(folder, "itk", pair)
    pair, picture = case(tmp_path, "2D", PLACES["plain"]), case(tmp_path, "picture", PLACES["plain"])
    with pytest.raises(DatasetError, match="only one image of its pair is NIfTI"):
        itk.write(tmp_path / "a.nii.gz", pair.field, picture.places[0], pair.places[1])


def test_a_field_that_leaves_the_slice_or_a_picture_that_is_turned_is_refused(tmp_path: Path) -> None:
    pair = case(tmp_path, "slice", PLACES["plain"])
    field = sitk.ReadImage(str(exported(tmp_path, "itk", pair)), sitk.sitkVectorFloat64)
    up = sitk.Image(field.GetSize(), sitk.sitkFloat64) + 2.0
    up.CopyInformation(field)
    parts = [sitk.VectorIndexSelectionCast(field, i) for i in range(2)]
    sitk.WriteImage(sitk.Compose([*parts, up]), str(tmp_path / "up.mha"))
    with pytest.raises(DatasetError, match=r"points up to 2 mm out of the plane"):
        itk.read(tmp_path / "up.mha", *pair.places)
    picture = case(tmp_path, "picture", PLACES["plain"])
    vectors(tmp_path / "turned.nii.gz", (12, 14, 1, 1, 2))
    with pytest.raises(DatasetError, match="its axes are not those of a picture in ITK"):
        itk.read(tmp_path / "turned.nii.gz", *picture.places)


def test_without_simpleitk_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = case(tmp_path, "3D", PLACES["plain"])
    sitk.WriteImage(sitk.Image(SHAPE, sitk.sitkVectorFloat32, 3), str(tmp_path / "a.mha"))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DatasetError, match=r"a\.mha: needs SimpleITK to be read, which is not installed; install"):
        itk.read(tmp_path / "a.mha", *pair.places)


def test_stored_and_prepared_grids_are_each_others_inverse(tmp_path: Path) -> None:
    pair = case(tmp_path, "3D", (PLACES["swapped"][0], PLACES["flipped"][1]))
    there = stored.to_stored(pair.field, *pair.places)
    assert there.shape == (*pair.grids[1].shape, 3)
    assert np.abs(stored.from_stored(there, *pair.places) - pair.field).max() < 1e-5
