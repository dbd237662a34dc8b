"""ADM converted from guided-diffusion's layout agrees with the original implementation's values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from likeness import extractors
from likeness.extractors import adm
from likeness.extractors.noising import TIMESTEPS, features_at, noised, signal_rates
from likeness.userinput.errors import UserError

ORACLES = Path(__file__).parents[1] / "oracles"
WEIGHTS = ORACLES / "adm_tiny_fp16.pt"
HEAD, GROUPS = 16, 32


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(ORACLES / "adm_tiny_expected.npz") as values:
        return {key: torch.from_numpy(values[key]) for key in values}


@pytest.fixture(scope="module")
def converted() -> torch.nn.Module:
    config, weights = adm.read(WEIGHTS, HEAD, GROUPS, whole=True)
    extractor = adm.build(config, whole=True)
    extractor.load_state_dict(weights)
    return extractors.freeze(extractor)


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_output_and_both_taps_agree_with_the_original(converted, expected) -> None:
    with torch.no_grad():
        output = converted.unet(expected["x"], expected["t"]).sample
        taps = features_at(converted.unet, list(adm.PLACES.values()), expected["x"], expected["t"])
    assert difference(output, expected["output"]) < 1e-4
    assert difference(taps[0], expected["input_blocks_11"]) < 1e-4
    assert difference(taps[1], expected["output_blocks_10"]) < 1e-4


def test_noising_agrees_with_the_original(expected) -> None:
    rates = signal_rates()[expected["t"]].view(-1, 1, 1, 1)
    assert difference(noised(expected["x"], expected["noise"], rates), expected["q_sample"]) < 1e-5
    assert len(signal_rates()) == TIMESTEPS


def test_queries_keys_and_values_lie_side_by_side_for_every_head(converted) -> None:
    """A plain split in three would load without complaint."""
    state = torch.load(WEIGHTS, weights_only=True)
    stored = state["input_blocks.11.1.qkv.weight"].float()[:, :, 0]
    query = converted.unet.get_submodule(f"{adm.PLACES['down']}.to_q").weight
    assert torch.equal(query[:HEAD], stored[:HEAD])
    assert torch.equal(query[HEAD : 2 * HEAD], stored[3 * HEAD : 4 * HEAD])


@pytest.mark.parametrize("tap", adm.PLACES)
def test_cut_behind_the_tap_the_features_stay_and_the_weights_go(converted, tap: str) -> None:
    config, weights = adm.read(WEIGHTS, HEAD, GROUPS)
    assert not any(key.startswith(("unet.up_blocks.4", "unet.conv_out")) for key in weights)
    extractor = adm.build(config)
    extractor.load_state_dict(weights)
    extractors.freeze(extractor)
    image = torch.rand(1, 1, 40, 64, generator=torch.Generator().manual_seed(0))

    def features(network: torch.nn.Module) -> Tensor:
        with torch.no_grad():
            return network(image, torch.Generator().manual_seed(1), 60, [tap])[0]

    whole = features(converted)
    before = sum(parameter.numel() for parameter in extractor.parameters())
    extractor.cut([tap])
    assert torch.equal(features(extractor), whole)
    assert sum(parameter.numel() for parameter in extractor.parameters()) <= before * (0.5 if tap == "down" else 1)


def test_a_tap_that_is_not_there_is_named(converted) -> None:
    with pytest.raises(ValueError, match=r"taps: \['up', 'side'\] requested, but the extractor has down, up"):
        converted.cut(["up", "side"])


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: has no weights 'input_blocks\.1\.0\.out_layers\.3\.bias'"):
        adm.read(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        *(("out.2.bias", None), ("middle_block.1.qkv.weight", None), ("middle_block.1.norm.bias", None)),
        *(("middle_block.1.qkv.weight", (50, 7, 1)), ("middle_block.1.qkv.bias", ())),
        ("middle_block.1.norm.bias", (1,)),
        # of other kernels, of which the middle alone would be read
        *(("middle_block.1.proj_out.weight", "wide"), ("input_blocks.11.1.qkv.weight", "wide")),
        *(("input_blocks.1.0.in_layers.2.weight", "wide"), ("out.2.weight", (6, 3, 3))),
        # the number of channels
        *(("input_blocks.1.0.out_layers.3.bias", ()), ("input_blocks.13.0.out_layers.3.bias", (7,))),
        *(("input_blocks.4.0.out_layers.3.bias", (0,)), ("input_blocks.7.0.out_layers.3.bias", None)),
    ],
    ids=str,
)
def test_a_file_that_differs_at_one_place_is_refused(place: str, shape, tmp_path: Path) -> None:
    state = torch.load(WEIGHTS, weights_only=True)
    value = state.pop(place)
    if shape is not None:
        state[place] = torch.cat((value, value), -1) if shape == "wide" else torch.zeros(shape)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(
        UserError, match=rf"other\.pt: has (no )?weights '{place}'.*so it belongs to a different network"
    ):
        adm.read(tmp_path / "other.pt", HEAD, GROUPS)


class Harm:
    def __reduce__(self) -> tuple:
        return (print, ("harm",))


def test_no_code_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv.weight": Harm()}, tmp_path / "harm.pt")
    with pytest.raises(UserError, match=r"harm\.pt: contains no weights that can be read safely"):
        adm.read(tmp_path / "harm.pt")
    assert "harm" not in capsys.readouterr().out
