"""The race against other methods on tiny pairs: are fields converted right, and is nothing chosen on test pairs?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from likeness import losses
from likeness.geometry import to_tensor, warp
from likeness.methods.syn import picture
from likeness.runtime.atomic import read_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.append(str(ROOT / ".peers-methods"))

import methods as bench  # noqa: E402
import peers  # noqa: E402

SIZES = {2: ((44, 38), (1.5, 0.7)), 3: ((40, 36, 34), (1.5, 0.7, 1.1))}
SHIFT = (2.0, -1.0, 1.5)
"""Voxels along every axis by which the content of the moving image lies further on."""


def pair_of(dims: int) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Draw a smooth moving and fixed image that differ by a shift, on a grid of unequal axes; give its spacing too."""
    shape, spacing = SIZES[dims]
    places = np.indices(shape, dtype=np.float64)

    def blob(shift: tuple[float, ...]) -> np.ndarray:
        offset = [p - (n - 1) / 2 - s for p, n, s in zip(places, shape, shift, strict=True)]
        square = sum((o / (n / 5)) ** 2 for o, n in zip(offset, shape, strict=True))
        waves = sum(np.sin(o * (0.3 + 0.1 * k)) for k, o in enumerate(offset))
        return (np.exp(-square / 2) * (1 + 0.3 * waves)).astype(np.float32)

    return blob(SHIFT[:dims]), blob((0.0,) * dims), spacing


def by_ants(found: Path, moving: np.ndarray, fixed: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    import ants

    images = [picture(image, spacing) for image in (fixed, moving)]
    return ants.apply_transforms(*images, [str(found)]).numpy()


def by_itk(found: Any, moving: np.ndarray, fixed: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    import SimpleITK as sitk

    if isinstance(found, sitk.Image):
        found = sitk.DisplacementFieldTransform(sitk.Cast(found, sitk.sitkVectorFloat64))
    images = [peers.itk_image(image, spacing) for image in (moving, fixed)]
    return sitk.GetArrayFromImage(sitk.Resample(*images, found, sitk.sitkLinear))


def by_fireants(found: Any, moving: np.ndarray, fixed: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    del moving, fixed, spacing
    return found.evaluate(found.fixed_images, found.moving_images)[0, 0].detach().numpy()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("name", "setting", "library", "resampled"),
    [
        ("syn-mi", {"reg_iterations": [20, 10, 5]}, "ants", by_ants),
        ("syn-cc", {"reg_iterations": [10, 5, 2]}, "ants", by_ants),
        ("demons", {"sigma": 1.5, "iterations": 15}, "SimpleITK", by_itk),
        ("bspline-mse", {"distance": 8, "iterations": 8}, "SimpleITK", by_itk),
        ("fireants-mse", {"smooth_grad_sigma": 1.0, "smooth_warp_sigma": 0.5}, "fireants", by_fireants),
    ],
)
def test_a_field_moves_images_as_its_maker_does(
    name: str, setting: dict, library: str, resampled: Callable[..., np.ndarray], dims: int
) -> None:
    pytest.importorskip(library)
    moving, fixed, spacing = pair_of(dims)
    ready = peers.PEERS[name].build(moving, fixed, spacing, setting)
    found = ready.register()
    theirs = resampled(found, moving, fixed, spacing)
    field = ready.field(found)
    assert field.shape == (*fixed.shape, dims)
    assert field.dtype == np.float32
    ours = warp(torch.from_numpy(moving)[None, None], to_tensor(field))[0, 0].numpy()
    # what lies outside the moving image is each library's own affair
    inside = (slice(6, -6),) * dims
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-3)
    assert np.square(ours - fixed).mean() < 0.5 * np.square(moving - fixed).mean()
    middle = field[tuple(slice(n // 2 - 4, n // 2 + 4) for n in fixed.shape)].reshape(-1, dims).mean(0)
    assert (np.sign(middle) == np.sign(SHIFT[:dims])).all(), middle


def test_convexadam_gives_voxels_of_our_axes() -> None:
    pytest.importorskip("convexAdam")
    moving, fixed, spacing = pair_of(3)
    ready = peers.PEERS["convexadam"].build(moving, fixed, spacing, {"lambda_weight": 1.25})
    field = ready.field(ready.register())
    ours = warp(torch.from_numpy(moving)[None, None], to_tensor(field))[0, 0].numpy()
    assert np.square(ours - fixed).mean() < 0.5 * np.square(moving - fixed).mean()


def test_peers_have_as_many_settings_as_our_path_has_levels() -> None:
    from ours import Entry, recipe

    for dataset in [*bench.COURSES, "another"]:
        levels = len(recipe(dataset, Entry.of("optimisation-mse"), 1)["lambda"]["grid"])
        assert {len(peer.settings(dims)) for peer in peers.PEERS.values() for dims in (2, 3)} == {levels}
    assert {peer.alike for peer in peers.PEERS.values()} <= set(losses.names())


def test_a_contestant_names_its_loss_and_options() -> None:
    from ours import Entry

    assert Entry.of("optimisation-ncc-window=17") == Entry("ncc", {"window": 17})
    assert str(Entry.of("optimisation-ncc-window=17")) == "ncc window=17"
    assert str(Entry.of("optimisation-mse")) == "mse"


def scored(dice: float, ndv: float = 0.0, rough: float = 0.2) -> dict[str, float]:
    return {"dice": dice, "folding_percent": 0.0, "ndv_percent": ndv, "std_log_j": rough}


def test_the_best_setting_that_does_not_fold_is_chosen() -> None:
    assert bench.choose({0: [scored(0.5)], 1: [scored(0.7)], 2: [scored(0.9, ndv=0.02)]}) == 1
    assert bench.choose({0: [scored(0.5), scored(0.7)], 1: [scored(0.6), scored(0.6)]}) == 0, "a tie goes to the first"
    assert bench.choose({0: [scored(0.9, ndv=2)], 1: [scored(0.7, ndv=1)]}) == 1, "all fold: the one that does least"
    assert bench.choose({0: [], 1: [scored(0.1)], 2: [scored(float("nan"))]}) == 1
    assert bench.choose({0: []}) is None


def test_the_roughest_level_that_is_no_rougher_is_chosen() -> None:
    trials = {k: [scored(0.5, rough=rough)] for k, rough in enumerate((0.05, 0.1, 0.2, 0.3))}
    assert bench.no_rougher(trials, 0.25) == 2
    assert bench.no_rougher(trials, 0.2) == 2
    assert bench.no_rougher(trials, 0.01) is None
    trials[2] = [scored(0.9, ndv=0.5, rough=0.2)]
    assert bench.no_rougher(trials, 0.25) == 1


VALIDATION, TEST = [("v0", "v1"), ("v1", "v0")], [("t0", "t1"), ("t1", "t2"), ("t2", "t0")]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """Let processes that give made-up answers stand in; tell who was asked what."""
    found: list[tuple[str, dict]] = []

    class Answering(bench.Worker):
        def ask(self, request: dict) -> dict:
            name = self.task["contestant"]
            found.append((name, request))
            if any(pair in TEST for pair in [request.get("pair")]):
                there = [path.name for path in (tmp_path / "tiny").glob("*.choice.json")]
                assert f"{name}.choice.json" in there, "a test pair is touched before the choice is written"
            if "pairs" in request:
                levels = [{"roughness": r, "weight": 1 / r, "attained": r < 0.4} for r in (0.1, 0.2, 0.3, 0.4)]
                judged = [[scored(0.6 + r, rough=r)] * 2 if r < 0.4 else [] for r in (0.1, 0.2, 0.3, 0.4)]
                return {"levels": levels, "validation": judged, "seconds": 1.0}
            if "weights" in request:
                answer = {
                    "seconds": [1.0, 2.0, 3.0][: len(request["weights"])],
                    "scores": {str(k): scored(0.8) for k in request["scored"]},
                }
                return answer | ({} if request["alone"] is None else {"seconds_level": 0.9})
            if name == "demons":
                return {"failed": "RuntimeError: no"}
            sigma = request["setting"]["flow_sigma"]
            return {"seconds": 4.0, **scored(0.7 if sigma == 6 else 0.6, rough=0.22)}

    monkeypatch.setattr(bench, "Worker", Answering)
    monkeypatch.setattr(bench, "WORK", tmp_path)
    return found


def contestants() -> list[bench.Contestant]:
    pairs = {"val": VALIDATION, "test": TEST}
    dataset: Any = SimpleNamespace(name="tiny", spatial_dims=2, shape=(24, 24), pairs_of=pairs.get)
    names = ("optimisation-nmi", "syn-mi", "demons", "convexadam")
    return [bench.Contestant(name, dataset, Path("tiny"), bench.Course(), 1) for name in names]


def test_a_race_goes_on_where_it_was_stopped_and_its_table_is_complete(asked: list[tuple[str, dict]]) -> None:
    def once() -> list[tuple[str, dict]]:
        # what failed is tried again
        return [one for one in asked if one[0] != "demons"]

    bench.race(contestants(), TEST[:1], 1)
    first = len(once())
    chosen = read_json(bench.WORK / "tiny" / "syn-mi.choice.json", Path())["chosen"]
    assert chosen == contestants()[1].setting(1)
    bench.race(contestants(), TEST[:1], 1)
    assert len(once()) == first, "nothing is done twice"
    bench.race(contestants(), TEST, 1)
    # syn is scored at its defaults too
    assert [request["pair"] for _, request in once()[first:]] == [TEST[1]] * 3 + [TEST[2]] * 3
    names = ["syn-mi", "syn-mi", "optimisation-nmi"]
    assert [name for name, _ in once()[first:]] == names + names[::-1]

    found = bench.with_ratios(bench.rows(contestants(), TEST))
    assert list(found) == bench.COLUMNS
    assert found.columns[:8].tolist() == [
        "dataset", "method", "loss", "seconds", "dice", "folding_percent", "std_log_j", "ratio_to_fastest_peer",
    ]  # fmt: skip
    row = found.set_index(["method", "chosen_by"])
    ours, theirs = row.loc["optimisation", "validation"], row.loc["syn", "validation"]
    assert (ours.seconds, ours.seconds_path, ours.seconds_level) == (3.0, 3.0, 0.9)
    assert (ours.ratio_to_fastest_peer, theirs.ratio_to_fastest_peer) == (0.75, 1.0)
    alike = row.loc["optimisation", "no rougher than syn-mi"]
    assert alike.setting.startswith("roughness=0.2 ")
    assert alike.seconds == 2.0
    assert (theirs.pairs, theirs.dice, theirs.validation_dice) == (3, 0.7, 0.7)
    usual = row.loc["syn", "its defaults"]
    assert (usual.pairs, usual.dice, usual.setting) == (3, 0.6, contestants()[1].setting(0))
    notes = found.set_index("method").note
    assert notes["demons"] == "RuntimeError: no"
    assert "3D" in notes["convexadam"]


def test_what_was_measured_under_other_conditions_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    log = bench.Log(path, {"threads": 1})
    log.begin()
    log.add({"split": "val", "pair": ("a", "b")})
    log.add({"split": "val", "pair": ("b", "a"), "failed": "no"})
    with path.open("a") as file:
        file.write('{"split": "val", "pa')  # as if it was killed
    log = bench.Log(path, {"threads": 1})
    assert len(log.rows) == 2
    log.begin()
    log.add({"split": "val", "pair": ("b", "a")})
    assert (
        bench.Log(path, {"threads": 1}).rows
        == log.rows
        == [{"split": "val", "pair": p} for p in (["a", "b"], ["b", "a"])]
    )
    other = bench.Log(path, {"threads": 2})
    assert not other.rows
    assert not path.with_suffix(".old").exists(), "a table made of it puts nothing aside"
    other.begin()
    assert json.loads(path.read_text()) == {"threads": 2}
    assert path.with_suffix(".old").exists()


def test_the_page_has_a_place_for_every_table(tmp_path: Path) -> None:
    page = tmp_path / "methods.md"
    page.write_text((ROOT / "docs" / "methods.md").read_text())
    pd.DataFrame({"dataset": ["tiny"], "note": ["a|b"], "dice": [None]}).to_csv(tmp_path / "methods.csv", index=False)
    bench.write_page(page, tmp_path)
    assert "| tiny | a\\|b |  |" in page.read_text()
    written = page.read_text()
    bench.write_page(page, tmp_path)
    assert page.read_text() == written


@pytest.mark.parametrize("text", ["16x16", "16x16x0", "16x16x16x16"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match=f"{text}: is no shape of a volume"):
        bench.shape_of(text)


def test_pins_are_exact_and_bring_no_torch() -> None:
    text = (ROOT / "benchmarks" / "requirements.methods.txt").read_text()
    lines = [line for line in text.splitlines() if line[0] != "#"]
    assert all(line.count("==") == 1 for line in lines)
    assert not any(line.startswith(("torch", "numpy", "scipy")) for line in lines)
