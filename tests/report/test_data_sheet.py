"""The data sheet: its numbers, its text, its picture."""

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from builders import make_dataset
from PIL import Image

from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.datasets.writing import write_field
from likeness.figures import slices
from likeness.figures.style import save
from likeness.report import data_sheet, example_pairs

SCORES = pd.DataFrame(
    [
        ("val", "a", "b", "dice", "dark", "1", 0.1),
        ("test", "a", "b", "dice", "dark", "1", 0.4),
        ("test", "b", "a", "dice", "dark", "1", 0.6),
        ("test", "a", "b", "dice", "bright", "1", 0.8),
        ("test", "b", "a", "dice", "bright", "1", math.nan),
        ("test", "a", "b", "hd95", "dark", "mm", 2.0),
        ("test", "b", "a", "hd95", "dark", "mm", math.inf),
        ("test", "a", "b", "folding", "all", "%", 0.0),
    ],
    columns=["split", "moving", "fixed", "metric", "label", "unit", "value"],
)


def prepared(folder: Path, **options) -> Dataset:
    prepare(make_dataset(folder / "raw", **options), folder / "prepared")
    return Dataset.open(folder / "prepared")


def test_intensity_explains_all_or_nothing_of_the_labels():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 4, 200_000)
    assert data_sheet.entropy_explained((label + 0.5) / 4, label) == pytest.approx(1)
    assert data_sheet.entropy_explained(generator.uniform(size=label.size), label) == pytest.approx(0, abs=1e-3)
    assert math.isnan(data_sheet.entropy_explained(np.ones(9), np.ones(9, int)))


def test_a_noisy_channel_explains_its_capacity():
    """Two equal classes, told apart wrongly with probability .1: 1 − H(.1) bits of one bit."""
    generator = np.random.default_rng(1)
    label = np.arange(400_000) % 2
    image = (label ^ (generator.uniform(size=label.size) < 0.1)) * 0.9
    expected = 1 + 0.1 * math.log2(0.1) + 0.9 * math.log2(0.9)
    assert data_sheet.entropy_explained(image, label) == pytest.approx(expected, abs=3e-3)
    # ids do not matter, nor does the largest intensity fall off the histogram
    assert data_sheet.entropy_explained(image / 0.9, label * 500 - 7) == pytest.approx(expected, abs=3e-3)


def test_numbers(tmp_path):
    dataset = prepared(tmp_path, with_mask=True, licence="CC0", stress_test=True)
    found = data_sheet.numbers(dataset, SCORES)
    assert found["splits"]["train"] == {"images": 3, "subjects": None, "pairs": 6}
    assert found["parts"] == {"image": 7, "label": 7, "mask": 7}
    assert found["truth_sdlogj"]["n"] == 0
    volumes = [entry["volume"] for entry in found["labels"]]
    assert sum(volumes) == pytest.approx(32 * 32 * 2)
    assert [entry["evaluated"] for entry in found["labels"]] == [False, True, True]
    explained = found["label_entropy_explained"]
    assert explained["n"] == 7
    assert 0.3 < explained["low"] <= explained["mean"] <= explained["high"] <= 1
    assert explained["inside_mask"]
    assert found["unregistered"] == [
        {
            "metric": "dice",
            "label": "mean",
            "unit": "1",
            "pairs": 2,
            "mean": pytest.approx(0.6),
            "sd": pytest.approx(0),
        },
        {"metric": "dice", "label": "dark", "unit": "1", "pairs": 2, "mean": 0.5, "sd": pytest.approx(0.1)},
        {"metric": "dice", "label": "bright", "unit": "1", "pairs": 1, "mean": 0.8, "sd": 0},
        {"metric": "hd95", "label": "dark", "unit": "mm", "pairs": 2, "mean": "inf", "sd": None},
    ]
    assert found["stress_test"] is True
    json.dumps(found, allow_nan=False)


def test_parcels_of_one_kind_count_as_one_label(tmp_path):
    """Which half of the object a voxel is in, intensity cannot tell; that it is in the object, it can."""
    found = {}
    for name, kinds in (("parcels", {}), ("kinds", {"object": [1, 2]})):
        raw = make_dataset(tmp_path / name, kinds=kinds, with_instances=True)
        table = pd.read_csv(raw / "images.csv")
        table["label"] = table.pop("instances")
        table.to_csv(raw / "images.csv", index=False)
        prepare(raw, tmp_path / f"prepared-{name}")
        found[name] = data_sheet.numbers(Dataset.open(tmp_path / f"prepared-{name}"), SCORES)["label_entropy_explained"]
    assert found["parcels"]["high"] < 0.8
    assert found["kinds"]["low"] > 0.95


def test_subjects_in_several_splits_are_told(tmp_path):
    raw = make_dataset(tmp_path / "raw", within_subject=True)
    table = pd.read_csv(raw / "images.csv")
    table["subject"] = ["a", "b", "c", "a", "d", "e", "f"]
    table.to_csv(raw / "images.csv", index=False)
    prepare(raw, tmp_path / "prepared")
    found = data_sheet.numbers(Dataset.open(tmp_path / "prepared"), SCORES)
    assert found["subjects_in_several_splits"] == 1
    assert found["splits"]["train"]["subjects"] == 3
    assert "the splits are not independent" in data_sheet.markdown(found, "tiny.png")


def test_that_all_images_are_of_one_specimen_is_told(tmp_path):
    for within in (True, False):
        dataset = prepared(tmp_path / str(within), within_subject=within)
        text = data_sheet.markdown(data_sheet.numbers(dataset, SCORES), "tiny.png")
        assert ("All images are of one specimen: the splits are not independent." in text) is within


def test_that_images_were_smoothed_is_told(tmp_path):
    raw = make_dataset(tmp_path / "raw", spacing_unit="um")
    for presmoothing in (0.0, 0.75):
        prepare(raw, tmp_path / "prepared", presmoothing=presmoothing)
        found = data_sheet.numbers(Dataset.open(tmp_path / "prepared"), SCORES)
        text = data_sheet.markdown(found, "tiny.png")
        assert ("Smoothed by a Gaussian with a standard deviation of 0.75 µm" in text) is (presmoothing > 0)


def test_truth_has_the_spread_of_its_field(tmp_path):
    """From an undeformed image to one stretched by 1 + b cos, or back, std(log J) is about b / √2."""
    raw = make_dataset(tmp_path / "raw", size=64, with_field=True)
    field = np.zeros((64, 64, 2))
    write_field(raw / "field" / "test0.npz", field)
    field[..., 0] = np.sin(2 * np.pi * np.arange(64) / 64)[:, None]
    write_field(raw / "field" / "test1.npz", field)
    prepare(raw, tmp_path / "prepared")
    found = data_sheet.numbers(Dataset.open(tmp_path / "prepared"), SCORES)
    assert found["truth_sdlogj"]["n"] == 2
    for key in ("low", "mean", "high"):
        assert found["truth_sdlogj"][key] == pytest.approx(2 * np.pi / 64 / math.sqrt(2), rel=0.05)
    assert found["primary"] == "epe"


def test_intensities_before_and_after_are_shown(tmp_path):
    """One voxel of padding far below squeezes all others into few bars; the quantiles cut it off."""
    raw = make_dataset(tmp_path / "raw")
    for path in (raw / "image").glob("*.png"):
        values = np.asarray(Image.open(path)).copy()
        values[0, 0] = 65535
        Image.fromarray(values).save(path)
    prepare(raw, tmp_path / "prepared")
    found = data_sheet.numbers(Dataset.open(tmp_path / "prepared"), SCORES)
    before, after = found["intensities"]["before"], found["intensities"]["after"]
    assert (before["high"], after["low"], after["high"]) == (65535, 0, 1)
    for histogram in (before, after):
        assert len(histogram["shares"]) == data_sheet.BARS
        assert sum(histogram["shares"]) == pytest.approx(1)
    assert max(before["limits"]["high"]) < 65535
    line = next(line for line in data_sheet.markdown(found, "tiny.png").splitlines() if "in the files" in line)
    assert "65 535" in line
    assert sum(line.count(block) for block in "▁▂▃▄▅▆▇█") == sum(share > 0 for share in before["shares"])


def test_headers_that_place_a_pair_elsewhere_are_counted(tmp_path):
    raw = make_dataset(tmp_path / "raw", dims=3, size=16)
    table = pd.read_csv(raw / "images.csv").set_index("id")
    path = raw / table.image["test0"]
    image = nibabel.load(path)
    values, shifted = np.asarray(image.dataobj), image.affine.copy()
    shifted[:3, 3] += (30, 0, 40)
    parts = [raw / table.loc["test0", part] for part in table.columns if str(table.loc["test0", part]).endswith(".gz")]
    for part in parts:
        nibabel.save(nibabel.Nifti1Image(np.asarray(nibabel.load(part).dataobj), shifted), part)
    assert np.array_equal(values, np.asarray(nibabel.load(path).dataobj))
    prepare(raw, tmp_path / "prepared")
    found = data_sheet.numbers(Dataset.open(tmp_path / "prepared"), SCORES)
    assert found["headers"] == {"pairs": 2, "apart": 2, "furthest": pytest.approx(50)}
    assert "2 by up to 50 mm of 2" in data_sheet.markdown(found, "tiny.png")
    alike = data_sheet.numbers(prepared(tmp_path / "alike", dims=3, size=16), SCORES)
    assert alike["headers"] == {"pairs": 2, "apart": 0, "furthest": 0}


@pytest.mark.parametrize(("dice", "words"), [(0.9, "0.9; pairs are farther apart"), (0.5, "0.5; pairs are no farther")])
def test_scores_are_held_against_the_accuracy_of_the_labels(tmp_path, dice, words):
    found = data_sheet.numbers(prepared(tmp_path, accuracy={"dice": dice}), SCORES)
    lines = data_sheet.markdown(found, "tiny.png").splitlines()
    [told] = [line for line in lines if words in line]
    assert told.startswith("| Dice")
    assert "between two observers" in "".join(lines)


def test_text(tmp_path):
    found = data_sheet.numbers(prepared(tmp_path, stress_test=True, spacing_unit="um", citation="Doe 2020"), SCORES)
    text = data_sheet.markdown(found, "tiny.png")
    for words in (
        "# tiny\n",
        "**Stress test**",
        "![Example test pairs](tiny.png)",
        "32 × 32 voxels of 1 × 2 µm",
        "| split | images | subjects | pairs |",
        "| Dice ",
        "0.5 ± 0.1",
        "∞ in some pairs",
        "area (µm²)",
        "- Citation: Doe 2020",
        "quantiles 0.001 and 0.999 of each image",
    ):
        assert words in text, words


@pytest.mark.parametrize("about", [0.0031, 0.5, 1, 1.99, 4.99, 5, 36.4, 7000])
def test_round_lengths(about):
    length = example_pairs.round_length(about)
    assert about / 2.5 < length <= about * 1.001
    assert f"{length:.0e}"[0] in "125"


def test_a_volume_is_shown_by_its_largest_slice_with_anterior_up(tmp_path):
    dataset = prepared(tmp_path, dims=3, size=16)
    values = np.zeros(dataset.shape)
    values[2, 14, 4] = 1  # left, anterior
    shown = slices.as_picture(dataset, values)
    assert shown.shape == (16, 16)
    assert np.argwhere(shown).tolist() == [[1, 2]]
    assert slices.pixel(dataset) == (2.0, 1.0)
    assert slices.extent(dataset) == (32.0, 16.0)


def test_a_picture_is_shown_as_it_is(tmp_path):
    dataset = prepared(tmp_path)
    values = np.arange(32 * 32).reshape(32, 32)
    np.testing.assert_array_equal(slices.as_picture(dataset, values), values)
    assert slices.pixel(dataset) == (1.0, 2.0)


@pytest.mark.parametrize("options", [{"dims": 2}, {"dims": 3, "size": 16}, {"with_label": False, "with_field": True}])
def test_the_picture_is_the_same_twice(tmp_path, options):
    dataset = prepared(tmp_path, **options)
    for name in ("a.png", "b.png"):
        save(example_pairs.draw(dataset), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.asarray(Image.open(tmp_path / "a.png").convert("L")).std() > 20


def test_the_script_writes_all_three(tmp_path):
    path = Path(__file__).parents[2] / "workflow" / "scripts" / "data_sheet.py"
    spec = importlib.util.spec_from_file_location("data_sheet", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    names = {"numbers": "tiny.json", "picture": "tiny.png", "sheet": "tiny.md"}
    output = SimpleNamespace(**{key: str(tmp_path / "out" / name) for key, name in names.items()})
    script.main(prepared(tmp_path), SCORES, output)
    assert json.loads(Path(output.numbers).read_text())["name"] == "tiny"
    assert "![Example test pairs](tiny.png)" in Path(output.sheet).read_text()
    assert Path(output.picture).stat().st_size > 10_000
