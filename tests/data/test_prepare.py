"""From a raw folder to the prepared form: pairs, intensities, bytes."""

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from builders import edit_table, make_dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from likeness.data import contents, pairs
from likeness.data.layout import FILES, capabilities, check_tables
from likeness.data.preparation import prepare
from likeness.data.store import PARTS, Dataset
from likeness.evaluation.table import score_unregistered
from likeness.results import Run
from likeness.userinput.errors import DatasetError, UserError

EVERYTHING = {f"with_{part}": True for part in ("mask", "instances", "unmatched", "field", "landmarks")}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def table(**columns) -> pd.DataFrame:
    frame = pd.DataFrame({key: list(entries) for key, entries in columns.items()})
    frame.index = pd.Index([f"s{i}" for i in range(len(frame))], name="id")
    if "split" not in frame:
        frame["split"] = "train"
    return frame


def drawn(images: pd.DataFrame, rule: dict, split: str = "train") -> list[str]:
    return [f"{m}>{f}" for m, f in pairs.draw(images, rule, split)]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_prepared_form_holds_everything(tmp_path, dims):
    raw = make_dataset(tmp_path / "raw", dims=dims, size=16, **EVERYTHING)
    prepare(raw, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    assert dataset.shape == (16, 16, 8)[:dims]
    assert dataset.axes == ("ij" if dims == 2 else "xyz")
    assert dataset.has == set(PARTS)
    assert dataset.primary == "epe"
    assert list(dataset.images.columns) == ["split", "group", "subject", "modality"]
    sample = dataset.load("train1")
    for part, dtype in PARTS.items():
        assert getattr(sample, part).dtype == dtype
    assert (sample.image.min(), sample.image.max()) == (0, 1)
    assert dataset.subject("train1") == "train1"
    assert len(dataset.pairs_of("train")) == 6
    assert set(yaml.safe_load(Path("workflow/schemas/dataset.schema.yaml").read_text())["properties"]) <= set(
        dataset.meta
    )


def test_large_label_values_are_numbered_anew_and_keep_their_names(tmp_path):
    prepare(make_dataset(tmp_path / "small", dims=3, size=16), tmp_path / "as-they-are")
    large = {0: 0, 1: 70_001, 2: 2**31 - 1}
    labels = {70_001: "dark", 0: "background", 2**31 - 1: "bright"}
    raw = make_dataset(tmp_path / "large", dims=3, size=16, labels=labels, evaluate=[2**31 - 1], kinds={"k": [70_001]})
    for path in (raw / "label").iterdir():
        image = nibabel.load(path)
        values = np.vectorize(large.get)(np.asarray(image.dataobj)).astype(np.int32)
        nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    contents.check(raw)
    prepare(raw, tmp_path / "prepared")
    dataset, same = Dataset.open(tmp_path / "prepared"), Dataset.open(tmp_path / "as-they-are")
    assert dataset.labels == {0: "background", 1: "dark", 2: "bright"}
    assert (dataset.evaluate, dataset.meta["kinds"], dataset.meta["background"]) == ([2], {"k": [1]}, 0)
    np.testing.assert_array_equal(dataset.load("test0").label, same.load("test0").label)


def test_true_fields_and_landmarks_survive(tmp_path):
    """An image's landmarks, moved by its field, are the template's, the same for all."""
    prepare(make_dataset(tmp_path / "raw", size=48, **EVERYTHING), tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    shared = []
    for id in dataset.images.index:
        sample = dataset.load(id)
        near = tuple(np.round(sample.landmarks).astype(int).T)
        shared.append(sample.landmarks + sample.field[near])
    assert np.abs(np.array(shared) - shared[0]).max() < 0.3


def test_bytes_are_the_same(tmp_path):
    raw = make_dataset(tmp_path / "raw", **EVERYTHING, pairs={"max_pairs": 3})
    for name in "ab":
        prepare(raw, tmp_path / name, seed=1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert set(digests(tmp_path / "a")) >= {"dataset.yaml", "images.csv", "pairs.csv", "images/val0.npz"}


def test_the_study_names_the_dataset(tmp_path):
    raw = make_dataset(tmp_path / "raw")
    prepare(raw, tmp_path / "a", name="mine")
    prepare(raw, tmp_path / "b")
    assert [Dataset.open(tmp_path / name).name for name in "ab"] == ["mine", "tiny"]


def test_a_refused_dataset_leaves_nothing_and_a_good_one_replaces(tmp_path):
    raw = make_dataset(tmp_path / "raw")
    prepare(raw, tmp_path / "out")
    before = digests(tmp_path / "out")
    image = tmp_path / "raw" / "image" / "test1.png"
    content = image.read_bytes()
    image.write_bytes(content[:50])
    with pytest.raises(DatasetError, match="cannot be read"):
        prepare(raw, tmp_path / "out")
    assert digests(tmp_path / "out") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "raw"]
    image.write_bytes(content)
    prepare(raw, tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_images_are_smoothed_alike_in_units_of_length(tmp_path):
    raw = make_dataset(tmp_path / "raw", spacing=[0.5, 2.0])
    prepare(raw, tmp_path / "plain")
    prepare(raw, tmp_path / "smooth", presmoothing=1.0)
    plain, smooth = Dataset.open(tmp_path / "plain"), Dataset.open(tmp_path / "smooth")
    assert (plain.meta["presmoothing"], smooth.meta["presmoothing"]) == (0, 1)
    for id in plain.images.index:
        expected = ndimage.gaussian_filter(plain.load(id).image, (2.0, 0.5), mode="nearest")
        np.testing.assert_allclose(smooth.load(id).image, expected, atol=1e-6)
        np.testing.assert_array_equal(smooth.load(id).label, plain.load(id).label)


def test_columns_are_kept_without_the_paths(tmp_path):
    raw = make_dataset(tmp_path / "raw")
    for row in range(7):
        edit_table(raw / "images.csv", row, "position", row)
        edit_table(raw / "images.csv", row, "scanner", "NA")
    prepare(raw, tmp_path / "prepared")
    images = Dataset.open(tmp_path / "prepared").images
    assert images.scanner.tolist() == ["NA"] * 7
    assert images.position.tolist() == list(range(7))
    assert not set(FILES) & set(images.columns)


def test_images_may_be_called_like_missing_values(tmp_path):
    raw = make_dataset(tmp_path / "raw")
    edit_table(raw / "images.csv", 0, "id", "NA")
    edit_table(raw / "images.csv", 1, "id", "001")
    prepare(raw, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    assert ("NA", "001") in dataset.pairs_of("train")
    assert dataset.load("001").name == "001"


def intensities(folder: Path, images: dict[str, np.ndarray], rule: dict, **columns) -> dict[str, np.ndarray]:
    """Prepare a dataset of given images, and give what became of them."""
    make_dataset(folder / "raw", intensity=rule)
    for row, (name, image) in enumerate(images.items()):
        tifffile.imwrite(folder / "raw" / "image" / f"{name}.tif", image.astype(np.float32))
        edit_table(folder / "raw" / "images.csv", row, "image", f"image/{name}.tif")
        for column, entries in columns.items():
            edit_table(folder / "raw" / "images.csv", row, column, entries[row])
    prepare(folder / "raw", folder / "prepared")
    dataset = Dataset.open(folder / "prepared")
    return {name: dataset.load(name).image for name in images}


RAMP = np.linspace(-100, 900, 32 * 32).reshape(32, 32)


def test_range(tmp_path):
    out = intensities(tmp_path, {"train0": RAMP}, {"rule": "range", "low": 0, "high": 500})
    np.testing.assert_allclose(out["train0"], np.clip(RAMP / 500, 0, 1), atol=1e-6)


def test_quantiles_are_those_of_each_image(tmp_path):
    out = intensities(tmp_path, {"train0": RAMP, "train1": 7 * RAMP}, {"rule": "quantile", "low": 0.25, "high": 0.75})
    low, high = np.quantile(RAMP, [0.25, 0.75])
    for image in out.values():
        np.testing.assert_allclose(image, np.clip((RAMP - low) / (high - low), 0, 1), atol=1e-5)


def test_images_that_share_a_scale_stay_comparable(tmp_path):
    images = {"train0": RAMP, "train1": 0.5 * RAMP, "train2": 0.5 * RAMP}
    rule = {"rule": "quantile", "low": 0, "high": 1, "shared_by": "subject"}
    out = intensities(tmp_path, images, rule, subject=["a", "a", ""])
    np.testing.assert_allclose(out["train0"], (RAMP + 100) / 1000, atol=1e-6)
    np.testing.assert_allclose(out["train1"], (0.5 * RAMP + 100) / 1000, atol=1e-6)
    np.testing.assert_allclose(out["train2"], (RAMP + 100) / 1000, atol=1e-6)


def test_extracted_and_whole_share_the_default_scale_where_the_object_is_brightest(tmp_path):
    mask = RAMP > 100
    out = intensities(tmp_path, {"train0": RAMP.clip(0), "train1": RAMP.clip(0) * mask}, {"rule": "quantile"})
    np.testing.assert_allclose(out["train0"][mask], out["train1"][mask], atol=1e-6)


def test_quantiles_that_coincide_are_refused(tmp_path):
    image = np.zeros((32, 32))
    image[3, 3] = 1
    with pytest.raises(DatasetError, match=r"train0.tif: its quantiles 0.01 and 0.9 are both 0; set 'intensity'"):
        intensities(tmp_path, {"train0": image}, {"rule": "quantile", "low": 0.01, "high": 0.9})


def test_all_ordered_pairs_without_a_rule():
    assert drawn(table(), {}) == []
    assert drawn(table(group="ab"), {}) == ["s0>s1", "s1>s0"]
    assert drawn(table(split=["train", "train", "test"]), {}) == ["s0>s1", "s1>s0"]


def test_images_of_every_split_are_registered_to_the_atlas(tmp_path):
    folder = make_dataset(tmp_path / "raw", images={"train": 3, "val": 1, "test": 2})
    for row, subject in enumerate(["a", "b", "c", "d", "e", "e"]):
        edit_table(folder / "images.csv", row, "subject", subject)
    edit_table(folder / "images.csv", 2, "split", "atlas")
    assert capabilities(folder)["splits"] == ["train", "val", "test"]
    contents.check(folder)
    prepare(folder, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    ids = {"train": ["train0", "train1"], "val": ["val0"], "test": ["test0", "test1"]}
    assert {split: dataset.pairs_of(split) for split in ids} == {s: [(id, "train2") for id in ids[s]] for s in ids}
    scores = score_unregistered(dataset, Run("tiny", "unregistered"))
    subjects = scores[["moving", "moving_subject", "fixed_subject"]].drop_duplicates()
    assert subjects.to_numpy().tolist() == [["val0", "d", "d"], ["test0", "e", "e"], ["test1", "e", "e"]]
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,train2,test0\n")
    prepare(folder, tmp_path / "prepared")
    assert Dataset.open(tmp_path / "prepared").subjects("train2", "test0") == ("e", "e")


def test_moving_and_fixed_are_filtered():
    images = table(modality=["brain", "head", "brain", "head"], subject=["a", "a", "b", "b"])
    rule = {"moving": {"modality": "brain"}, "fixed": {"modality": "head"}}
    assert drawn(images, rule) == ["s0>s1", "s0>s3", "s2>s1", "s2>s3"]
    assert drawn(images, rule | {"different": "subject"}) == ["s0>s3", "s2>s1"]
    assert drawn(images, rule | {"within": "subject"}) == ["s0>s1", "s2>s3"]


def test_a_number_in_a_rule_is_a_number():
    assert drawn(table(session=["1", "01", "2"]), {"moving": {"session": 1}, "fixed": {"session": 2}}) == [
        "s0>s2",
        "s1>s2",
    ]
    assert drawn(table(session=["1", "01"]), {"moving": {"session": "01"}}) == ["s1>s0"]


def test_no_entry_is_in_no_group_and_differs_from_all():
    images = table(group=["", "", "a", "a"])
    assert drawn(images, {"within": "group"}) == ["s2>s3", "s3>s2"]
    assert len(drawn(images, {"different": "group"})) == 10


def test_max_gap_counts_positions_not_rows():
    images = table(position=[0.0, 3.0, 1.0, 1.0])
    assert drawn(images, {"max_gap": 2}) == ["s0>s2", "s0>s3", "s1>s2", "s1>s3", "s2>s0", "s2>s1", "s3>s0", "s3>s1"]
    assert drawn(images, {"max_gap": 1}) == ["s0>s2", "s0>s3", "s2>s0", "s3>s0"]


def test_listed_splits_are_taken_as_they_are_and_others_drawn(tmp_path):
    folder = make_dataset(tmp_path)
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,test1,test0\n")
    raw = check_tables(folder)
    found = pairs.complete(raw.images, raw.pairs, raw.meta["pairs"], seed=0)
    assert found.split.tolist() == ["train"] * 6 + ["val"] * 2 + ["test"]
    assert found.iloc[-1].tolist() == ["test", "test1", "test0"]


def test_max_pairs_is_a_seeded_choice():
    images = table(split=["train"] * 10 + ["val"] * 2 + ["test"] * 2)
    listed = pd.DataFrame({"split": [], "moving": [], "fixed": []}, dtype=object)
    chosen = [pairs.complete(images, listed, {"max_pairs": 20}, seed) for seed in (0, 0, 1)]
    assert chosen[0].equals(chosen[1])
    assert not chosen[0].equals(chosen[2])
    assert (chosen[0].split == "train").sum() == 20
    assert (chosen[0].split == "val").sum() == 2


def test_a_study_takes_some_of_the_listed_pairs_by_its_seed():
    images = table(split=["val"] * 6)
    both = [(a, b) for a in images.index for b in images.index if a != b]
    listed = pd.DataFrame([("val", *pair) for pair in both], columns=["split", "moving", "fixed"])
    chosen = [pairs.complete(images, listed, {}, seed, {"val": 7, "test": 3}) for seed in (0, 0, 1)]
    assert chosen[0].equals(chosen[1])
    assert not chosen[0].equals(chosen[2])
    found = list(chosen[0][["moving", "fixed"]].itertuples(index=False, name=None))
    assert len(found) == 7
    # in their order
    assert found == [pair for pair in both if pair in found]
    assert len(pairs.complete(images, listed, {}, 0, {"val": 1000})) == len(both)


entry = st.sampled_from(["", "a", "b"])


@given(
    rows=st.lists(st.tuples(entry, entry, st.integers(0, 5), st.sampled_from(["train", "test"])), max_size=8),
    within=st.booleans(),
    different=st.booleans(),
    gap=st.none() | st.integers(1, 4),
    moving=st.none() | entry,
)
def test_pairs_are_exactly_those_that_satisfy_the_rule(rows, within, different, gap, moving):
    group, subject, position, split = zip(*rows, strict=True) if rows else ((), (), (), ())
    images = table(group=group, subject=subject, position=np.array(position, dtype=float), split=split)
    rule = {"within": "group"} if within else {}
    rule |= {"different": "subject"} if different else {}
    rule |= {} if gap is None else {"max_gap": gap}
    rule |= {} if moving is None else {"moving": {"group": moving}}

    def allowed(m, f):
        return (
            m != f
            and split[m] == split[f] == "train"
            and (not within or group[m] == group[f] != "")
            and (not different or subject[m] != subject[f] or subject[m] == "")
            and (gap is None or 1 <= abs(position[m] - position[f]) <= gap)
            and (moving is None or group[m] == moving)
        )

    expected = [f"s{m}>s{f}" for m in range(len(rows)) for f in range(len(rows)) if allowed(m, f)]
    assert drawn(images, rule) == expected


def test_reading_is_what_checking_reads(tmp_path):
    raw = check_tables(make_dataset(tmp_path / "raw", with_mask=True))
    prepare(tmp_path / "raw", tmp_path / "prepared")
    prepared = Dataset.open(tmp_path / "prepared").load("val1")
    read = contents.read(raw, "val1")
    np.testing.assert_array_equal(prepared.label, read.label)
    np.testing.assert_array_equal(prepared.mask, read.mask)
    assert np.corrcoef(prepared.image.ravel(), read.image.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_broken_prepared_image_says_what_to_delete(tmp_path, content):
    prepare(make_dataset(tmp_path / "raw"), tmp_path / "prepared")
    path = tmp_path / "prepared" / "images" / "val1.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{path}: is damaged \(.*\); delete {tmp_path / 'prepared'} and run again"):
        Dataset.open(tmp_path / "prepared").load("val1")
