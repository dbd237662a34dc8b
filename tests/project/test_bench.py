"""The benchmark of the losses on tiny images: is its table complete, and like compared with like? Not who is fast."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from likeness import losses

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import contestants  # noqa: E402
import losses as bench  # noqa: E402
import measuring  # noqa: E402
import targets  # noqa: E402

WITH_NETWORK = next(name for name in losses.names() if losses.card(name)["extractor"])
INSTALLED = ("torch", "monai")
"""Peers that every environment has."""


def test_the_table_has_all_libraries_their_naive_form_and_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "measured", lambda *what: measuring.measure(bench.task(*what)))
    monkeypatch.setattr(measuring, "SHORTEST", 0)
    monkeypatch.setattr(contestants, "PEERS", {"mse": {"torch": contestants.PEERS["mse"]["torch"]}})
    call = ["losses.py", "--losses", "mse", WITH_NETWORK, "--shapes", "1x1x24x20", "1x1x12x14x10", "--device", "cpu"]
    call += ["--rounds", "2", "--threads", "1", "--output", str(tmp_path / "losses.csv")]
    monkeypatch.setattr(sys, "argv", call)
    assert bench.main() == 0
    table = pd.read_csv(tmp_path / "losses.csv")
    assert list(table) == bench.COLUMNS
    wanted = [("mse", "likeness"), ("mse", "torch"), (WITH_NETWORK, "likeness"), (WITH_NETWORK, "naive")]
    assert table["shape"].tolist() == ["1x1x24x20"] * 4 + ["1x1x12x14x10"] * 4
    assert list(zip(table.loss, table.library, strict=True)) == wanted * 2
    assert (table.milliseconds > 0).all()
    assert (table.peak_mb >= 0).all()
    assert table.ratio_to_fastest_peer[table.library != "likeness"].eq(1).all()
    assert WITH_NETWORK in capsys.readouterr().out


def test_a_measurement_has_a_process_of_its_own_and_its_failure_is_told() -> None:
    cell = ("1x1x24x20", "cpu", "float32")
    assert bench.measured(bench.Case("mse", "torch", *cell), 1)["milliseconds"] > 0
    assert "no_such_library" in bench.measured(bench.Case("mse", "no_such_library", *cell), 1)["failed"]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("loss", "library"),
    [(loss, peer) for loss in losses.names() for peer in contestants.PEERS.get(loss, {}) if peer in INSTALLED],
)
def test_peers_compute_the_same_quantity(loss: str, library: str, dims: int) -> None:
    """Their gradients point where ours do; windows that end at the border, and shares of noise, differ."""
    agreement = contestants.agreement(contestants.contestant(loss, library, dims)[0], loss, dims)
    assert agreement is not None
    assert agreement > bench.ALIKE


def test_the_naive_form_gives_the_same_value_and_gradients_to_everything() -> None:
    moved, fixed = contestants.images((1, 1, 24, 20))
    ready = {form: contestants.contestant(WITH_NETWORK, form, 2)[0](moved, fixed) for form in ("likeness", "naive")}
    values = {form: one.forward() for form, one in ready.items()}
    torch.testing.assert_close(values["likeness"], values["naive"])
    for value in values.values():
        value.backward()
    ours, naive = ready["likeness"], ready["naive"]
    torch.testing.assert_close(ours.leaves["moved"].grad, naive.leaves["moved"].grad)
    assert naive.leaves["fixed"].grad is not None
    assert ours.module is not None
    assert naive.module is not None
    assert all(weight.grad is None for weight in ours.module.parameters())
    assert any(weight.grad is not None for weight in naive.module.parameters())
    with torch.no_grad():
        assert not torch.is_grad_enabled(), "gradients_everywhere must end with the forward pass"


def test_medians_ratios_and_what_is_left_out() -> None:
    def result(milliseconds: float, agreement: float | None = None) -> dict:
        return {"milliseconds": milliseconds, "peak_mb": 1.0, "agreement": agreement, "said": ""}

    cell = (targets.IMAGES, "cpu", "float32")
    found = {
        bench.Case("ncc", "likeness", *cell): [result(2), result(3), result(100)],
        bench.Case("ncc", "monai", *cell): [result(6, 0.9)],
        bench.Case("ncc", "slow", *cell): [result(12, 0.9)],
        bench.Case("ncc", "other", *cell): [result(1, 0.1)],
        bench.Case("mind", "likeness", *cell): [result(6)],
    }
    table, said = bench.medians(found)
    assert table.library.tolist() == ["likeness", "monai", "slow", "likeness"]
    assert table.milliseconds.tolist() == [3, 6, 12, 6]
    assert table.ratio_to_fastest_peer.tolist()[:3] == [0.5, 1, 2]
    assert pd.isna(table.ratio_to_fastest_peer[3])
    assert "other" in said[0]
    assert [reached for _, reached in targets.compared(table)] == [True, False]


def test_targets_and_peers_are_of_losses_that_exist() -> None:
    for target in targets.TARGETS:
        assert fnmatch.filter(losses.names(), target.loss)
        assert fnmatch.filter(losses.names(), target.rival)
    assert set(contestants.PEERS) <= set(losses.names())


def test_pins_are_exact_and_bring_no_torch() -> None:
    lines = [line for line in (ROOT / "benchmarks" / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert all(line.count("==") == 1 for line in lines)
    assert not any(line.startswith(("torch", "tensorflow")) for line in lines)


@pytest.mark.parametrize("shape", ["3x3x16x16", "1x1x16", "1x1x0x16"])
def test_a_shape_that_is_none_is_refused(shape: str) -> None:
    with pytest.raises(SystemExit, match=f"{shape}: is no shape"):
        bench.plan(bench.options().parse_args(["--device", "cpu", "--shapes", shape]))


def test_rounds_that_measure_nothing_are_refused() -> None:
    with pytest.raises(SystemExit, match="--rounds: 0 measure nothing"):
        bench.plan(bench.options().parse_args(["--device", "cpu", "--rounds", "0"]))
