"""The built-in brains: what is simulated is what the data say it is."""

import hashlib
import socket
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage

from likeness.data import contents, layout
from likeness.datasets import catalogue, mni_brain, mni_head, recipes
from likeness.datasets.simulate import mni, skull
from likeness.datasets.simulate.cohort import Subject, grouped, rings
from likeness.datasets.simulate.fields import block_mean, pull, random_warp
from likeness.datasets.simulate.parcellation import hemispheric_parcels
from likeness.geometry import compose, invert, jacobian_determinant, to_array, to_tensor, warp_labels

SMALL = {
    "mni-brain": {"train": 3, "val": 3, "test": 6},
    "mni-head": {"train": 3, "val": 3, "test": 6},
    "mni-brain-3d": {"train": 3, "val": 3, "test": 3},
}
RECIPES = tuple(SMALL)
TEST_SUBJECTS = [Subject(f"test{n:02d}", "test", mni.slice_name(z)) for n, z in enumerate(mni_brain.HEIGHTS["test"])]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each recipe at a small size, made without any network."""

    def refuse(*_, **__):
        raise OSError("a recipe touched the network")

    folder = tmp_path_factory.mktemp("raw")
    mni.volumes.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", refuse)
        patch.setattr(socket, "create_connection", refuse)
        for name in RECIPES:
            recipes.make(name, folder / name, 1, **SMALL[name])
    return folder


@pytest.fixture(scope="module")
def templates():
    return mni.slice_templates(sum(mni_brain.HEIGHTS.values(), ()), mni_brain.GREY, mni_brain.WHITE)


def read(path):
    if path.suffix == ".npz":
        return np.load(path)["displacement"]
    return np.asarray(Image.open(path)) if path.suffix == ".png" else np.asarray(nibabel.load(path).dataobj)


def parts_of(raw, id):
    return {part: read(path) for part in layout.FILES if (path := raw.file(id, part))}


def digests(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dice(a, b, labels):
    pairs = [(a == label, b == label) for label in labels]
    return np.mean([2 * (x & y).sum() / (x.sum() + y.sum()) for x, y in pairs if x.any() and y.any()])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_writes_a_dataset_that_passes_every_check(folders, name):
    raw = contents.check(folders / name)
    assert layout.capabilities(folders / name) == catalogue.describe(name)
    assert raw.meta["name"] == name
    assert raw.meta["stress_test"]
    assert len(raw.meta["evaluate"]) >= 20


@pytest.mark.parametrize(("name", "spacing"), [("mni-brain", 3), ("mni-head", 4), ("mni-brain-3d", 5)])
def test_coarser_images_show_the_same_at_the_size_that_the_catalogue_tells(folders, tmp_path, name, spacing):
    options = {**SMALL[name], "spacing": spacing}
    recipes.make(name, tmp_path / "raw", 1, **options)
    raw, fine = contents.check(tmp_path / "raw"), layout.check_tables(folders / name)
    assert raw.meta["spacing"] == [float(spacing)] * raw.meta["spatial_dims"]
    assert list(raw.images.index) == list(fine.images.index)
    image = contents.read(raw, raw.images.index[0])
    assert image.image.shape == catalogue.size(name, options).shape
    # as much brain, in square or cubic millimetres, as at the default spacing
    other = contents.read(fine, fine.images.index[0])
    extents = [np.count_nonzero(s.label) * np.prod(m["spacing"]) for s, m in ((image, raw.meta), (other, fine.meta))]
    assert extents[0] == pytest.approx(extents[1], rel=0.15)


@pytest.mark.parametrize("name", RECIPES)
def test_same_seed_gives_same_bytes_on_any_number_of_threads(folders, tmp_path, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 2)
    try:
        recipes.make(name, tmp_path / "again", 1, **SMALL[name])
    finally:
        torch.set_num_threads(threads)
    assert digests(tmp_path / "again") == digests(folders / name)


def test_a_subject_does_not_depend_on_how_many_others_there_are(folders, tmp_path):
    recipes.make("mni-brain", tmp_path / "more", 1, **{**SMALL["mni-brain"], "train": 5})
    recipes.make("mni-brain", tmp_path / "other", 2, **SMALL["mni-brain"])
    image = "images/test05.png"
    here = (folders / "mni-brain" / image).read_bytes()
    assert (tmp_path / "more" / image).read_bytes() == here
    assert (tmp_path / "other" / image).read_bytes() != here


def test_a_recipe_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mni_brain, "write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recipes.make("mni-brain", tmp_path / "raw", 1, **SMALL["mni-brain"])
    assert not list(tmp_path.iterdir())


def test_the_registry_imports_nothing_heavy():
    code = (
        "import sys, likeness.datasets.recipes; sys.exit(any(m in sys.modules for m in ('numpy', 'pandas', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(skull.__file__).parents[3])


@pytest.mark.parametrize("name", RECIPES)
def test_unknown_options_are_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"no option 'doze'; its options are .*test"):
        recipes.make(name, tmp_path / "raw", 1, doze=3)


def test_what_cannot_be_simulated_is_refused(tmp_path):
    with pytest.raises(ValueError, match="dose is 101"):
        recipes.make("mni-head", tmp_path / "raw", 1, dose=101)
    with pytest.raises(ValueError, match="test: 2 simulated subjects are too few"):
        recipes.make("mni-brain", tmp_path / "raw", 1, test=2)
    with pytest.raises(KeyError, match="mni-brian"):
        catalogue.describe("mni-brian")


def test_slices_of_different_splits_are_at_least_six_millimetres_apart():
    for a, b in combinations(mni_brain.HEIGHTS, 2):
        assert min(abs(x - y) for x in mni_brain.HEIGHTS[a] for y in mni_brain.HEIGHTS[b]) >= 6


def test_everybody_in_the_test_is_moving_once_and_fixed_once_and_no_pair_is_mirrored():
    groups = {split: [mni.slice_name(z) for z in heights] for split, heights in mni_brain.HEIGHTS.items()}
    cohort = grouped(groups, {"train": 48, "val": 16, "test": 40})
    pairs = pd.DataFrame(rings(cohort)).query("split == 'test'")
    everybody = {subject.name: subject.group for subject in cohort if subject.split == "test"}
    assert len(pairs) == 40
    assert set(pairs.moving) == set(pairs.fixed) == set(everybody)
    assert all(everybody[a] == everybody[b] for a, b in zip(pairs.moving, pairs.fixed, strict=True))
    assert not set(zip(pairs.moving, pairs.fixed, strict=True)) & set(zip(pairs.fixed, pairs.moving, strict=True))


def test_every_label_of_every_slice_is_large_enough_to_score(templates):
    for template in templates.values():
        sizes = np.bincount(template.labels.ravel())[1:] / mni.FINE**2
        assert (sizes[sizes > 0] >= 30).all()
        assert (sizes > 0).sum() >= 23


def test_parcels_are_mirrored_and_stay_on_their_side():
    x, y = np.meshgrid(np.arange(-30, 31), np.arange(40), indexing="ij")
    region = (np.abs(x) > 1) & (np.hypot(x, y - 20) < 19)
    parcels = hemispheric_parcels(region, np.stack([x, y], axis=-1).astype(float), 4)
    assert set(np.unique(parcels[x < 0])) == {0, 1, 2, 3, 4}
    assert np.array_equal(parcels[::-1][x < 0], np.where(region, parcels + 4, 0)[x < 0])
    fronts = [y[parcels == n].mean() for n in range(1, 5)]
    assert fronts == sorted(fronts, reverse=True)


def test_a_finer_image_is_read_where_its_voxels_lie():
    ramp = np.add.outer(np.arange(12.0), 3 * np.arange(8.0))[None]
    assert np.allclose(pull(ramp, np.zeros((6, 4, 2)), 2)[0], block_mean(ramp[0], 2))
    shift = np.zeros((6, 4, 2))
    shift[2, 1] = 1, 0
    assert pull(ramp, shift, 2)[0, 2, 1] == block_mean(ramp[0], 2)[3, 1]


def without_bias(image, brain, spacing):
    """Divide by the mean over 20 mm of the brain around."""
    blur = [ndimage.gaussian_filter(x, 20 / np.array(spacing)) for x in (image * brain, brain.astype(float))]
    return image[brain] / (blur[0] / np.maximum(blur[1], 1e-6))[brain]


@pytest.mark.parametrize("name", ["mni-brain", "mni-brain-3d"])
def test_the_template_warped_by_the_field_is_the_image(folders, templates, name):
    volume = {"brain": mni.volume_template((40, 48, 40), 4.0, 10, 3)}
    raw = layout.check_tables(folders / name)
    still_or_moved = []
    for id in raw.images.index:
        parts = parts_of(raw, id)
        template = (templates | volume)[raw.images.group[id]]
        fine = (template.t1 * template.brain)[None]
        still, moved = block_mean(fine[0], mni.FINE), pull(fine, parts["field"], mni.FINE)[0]
        brain = parts["mask"] > 0
        image, a, b = (without_bias(x, brain, template.spacing) for x in (parts["image"] / 65535, still, moved))
        still_or_moved.append([np.corrcoef(image, a)[0, 1], np.corrcoef(image, b)[0, 1]])
        assert (parts["image"] == 65535).mean() < 0.01
    before, after = np.transpose(still_or_moved)
    assert before.mean() < 0.6
    assert after.mean() > 0.9
    assert after.min() > 0.85


@pytest.mark.parametrize("name", RECIPES)
def test_fields_are_diffeomorphic_and_as_large_as_differences_between_subjects(folders, name):
    raw = layout.check_tables(folders / name)
    lengths, spreads = [], []
    for id in raw.images.index:
        parts = parts_of(raw, id)
        jacobian = jacobian_determinant(to_tensor(parts["field"]))[0, 0].numpy()
        brain = parts["label"] > 0
        assert jacobian.min() > 0
        lengths.append(np.linalg.norm(parts["field"] * raw.meta["spacing"], axis=-1)[brain].mean())
        spreads.append(np.log(jacobian)[brain].std())
    assert 3 < np.mean(lengths) < 5
    assert 0.2 < np.mean(spreads) < 0.4


# at 4 mm the cortex is one or two voxels thick, and its labels are read by nearest neighbour twice
@pytest.mark.parametrize(("name", "expected"), [("mni-brain", 0.88), ("mni-head", 0.88), ("mni-brain-3d", 0.78)])
def test_labels_agree_under_the_true_displacement_and_only_there(folders, name, expected):
    raw = layout.check_tables(folders / name)
    before, after = [], []
    for _, moving, fixed in raw.pairs.itertuples(index=False):
        a, b = parts_of(raw, moving), parts_of(raw, fixed)
        truth = to_array(compose(invert(to_tensor(a["field"])), to_tensor(b["field"])))
        before.append(dice(a["label"], b["label"], raw.meta["evaluate"]))
        after.append(dice(warp_labels(a["label"], truth), b["label"], raw.meta["evaluate"]))
    assert np.mean(before) < 0.7
    assert np.mean(after) > expected


def test_a_warp_has_the_amplitudes_asked_for_in_the_unit_of_spacing():
    fields = [
        random_warp((64, 48), (2.0, 4.0), (24.0,), (3.0,), np.random.default_rng(seed)) * (2.0, 4.0)
        for seed in range(5)
    ]
    assert np.mean([np.sqrt((field**2).sum(-1).mean()) for field in fields]) == pytest.approx(3.0, rel=0.1)
    with pytest.raises(ValueError, match="2 scales but 1 amplitudes"):
        random_warp((8, 8), (1, 1), (2, 4), (1,), np.random.default_rng(0))


def share_of_circumference(brain, unmatched):
    """Of the directions from the brain's centre, the share that meets something unmatched outside the brain's hull."""
    outer = unmatched & (skull.outside_distance(brain, mni.PIXEL) > 0) & ~ndimage.binary_fill_holes(brain)
    return len(np.unique(skull.directions(brain)[outer] // 5)) / 72


@pytest.mark.parametrize("subject", TEST_SUBJECTS, ids=lambda subject: subject.group)
def test_the_dose_is_the_share_of_the_circumference_with_content_that_only_the_head_has(templates, subject):
    template = templates[subject.group]
    made = {dose: mni_head.simulate(template, subject, 1, dose, False) for dose in (0.0, 0.25, 0.5, 1.0)}
    brain = mni.simulate_brain(template, mni_head.stream(1, subject.name, "brain")).mask
    previous = np.zeros_like(brain)
    for dose, images in made.items():
        unmatched = images["head"]["unmatched"]
        assert share_of_circumference(brain, unmatched) == pytest.approx(dose, abs=0.04)
        assert not (unmatched & brain).any()
        assert not (previous & ~unmatched).any()
        previous = unmatched
        beyond = ndimage.binary_erosion(~(unmatched | brain), border_value=1)
        assert images["head"]["image"][beyond].mean() < 0.05
        assert np.array_equal(images["brain"]["image"], made[0.0]["brain"]["image"])
    assert not made[0.0]["head"]["unmatched"].any()
    assert made[1.0]["head"]["image"][previous].mean() > 0.15


@pytest.mark.parametrize("subject", TEST_SUBJECTS, ids=lambda subject: subject.group)
def test_extraction_errs_by_a_millimetre_or_two_and_leaves_remnants(templates, subject):
    template = templates[subject.group]
    images = mni_head.simulate(template, subject, 1, 1.0, False)
    brain = mni.simulate_brain(template, mni_head.stream(1, subject.name, "brain")).mask
    kept = images["brain"]["mask"]
    distance = skull.outside_distance(brain, mni.PIXEL)
    assert 0 < (brain & ~kept).sum() < 0.08 * brain.sum()
    assert distance[brain & ~kept].min() > -2.0 - mni.PIXEL
    assert (kept & (distance > 2.0)).any()
    assert not images["brain"]["image"][~kept].any()
    assert np.array_equal(images["brain"]["image"][kept], images["head"]["image"][kept])
    assert np.array_equal(images["brain"]["label"], images["head"]["label"])


def test_layers_are_as_thick_as_stated_and_differ_between_subjects():
    rows, columns = np.indices((224, 192))
    brain = np.hypot((rows - 112) / 88, (columns - 96) / 68) < 1
    points = np.stack([columns - 96.0, 112.0 - rows], axis=-1)
    shells = [skull.surround(brain, skull.Plane(points, 40.0, 1.0), np.random.default_rng(seed)) for seed in range(4)]
    low = sum(range_[0] for range_, _ in skull.LAYERS.values())
    high = sum(range_[1] for range_, _ in skull.LAYERS.values())
    distance = skull.outside_distance(brain, 1.0)
    edges = [(shell.content & ndimage.binary_dilation(~shell.content & ~brain)) for shell in shells]
    # the skull is drawn around a hull of its own, some millimetres from the brain
    assert all(low - 1 < distance[edge].mean() < high for edge in edges)
    assert all(distance[edge].std() > 1 for edge in edges)
    thickness = [[distance[edge & (skull.directions(brain) // 30 == n)].mean() for n in range(12)] for edge in edges]
    assert np.abs(np.corrcoef(thickness)[np.triu_indices(4, 1)]).mean() < 0.7


def test_eyes_are_where_eyes_are():
    rows, columns = np.indices((224, 192))
    points = np.stack([columns - 96.0, 94.0 - rows], axis=-1)
    brain = np.hypot((rows - 140) / 70, (columns - 96) / 60) < 1
    vitreous = {}
    for z in (-27.0, 0.0):
        shell = skull.surround(brain, skull.Plane(points, z, 1.0), np.random.default_rng(0))
        x, y = points[..., 0], points[..., 1]
        globe = np.min([np.hypot(x - eye[0], y - eye[1]) for eye in skull.EYES], axis=0) < 4
        vitreous[z] = shell.content[globe & ~brain].mean()
    assert vitreous[-27.0] == 1
    assert vitreous[0.0] < 1


@pytest.mark.parametrize("subject", TEST_SUBJECTS, ids=lambda subject: subject.group)
def test_a_lesion_is_in_one_image_only_and_unmatched_there(templates, subject):
    template = templates[subject.group]
    without, with_it = (mni_head.simulate(template, subject, 1, 1.0, lesion) for lesion in (False, True))
    assert np.array_equal(without["brain"]["image"], with_it["brain"]["image"])
    place = with_it["head"]["unmatched"] & ~without["head"]["unmatched"]
    extent = np.ptp(np.argwhere(place), axis=0).max() * mni.PIXEL + mni.PIXEL
    assert 8 <= extent <= 32
    assert not with_it["head"]["label"][place].any()
    elsewhere = ~ndimage.binary_dilation(place)
    for part in ("image", "label", "unmatched"):
        assert np.array_equal(without["head"][part][elsewhere], with_it["head"][part][elsewhere])
