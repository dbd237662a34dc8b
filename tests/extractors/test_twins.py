"""Twins of extractors: what stays of the weights, what does not, and what batch norm makes of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import make_dataset
from torch import Tensor, nn

from likeness import extractors, losses
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.extractors import adm, efficientnet, segmentation, twins
from likeness.methods.objective import Objective
from likeness.runtime.atomic import write_json
from likeness.training.checkpoint import save_weights

UNET = {"name": "segmentation", **segmentation.TINY, "norm": "batch"}
NETWORKS = {
    "efficientnet": (efficientnet, {"name": "efficientnet", **efficientnet.TINY}, 2),
    "adm": (adm, {"name": "adm", **adm.TINY}, 2),
    "segmentation 2D": (segmentation, UNET | {"strides": [[2, 2]] * 3}, 2),
    "segmentation 3D": (segmentation, UNET | {"strides": [[2, 2, 2]] * 3}, 3),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def trained(name: str) -> nn.Module:
    """Build a network whose weights and statistics are of no initial kind."""
    module, config, _ = NETWORKS[name]
    torch.manual_seed(5)
    network = module.build(config)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.5 + torch.rand(value.shape))
    return network


def turned(name: str, weights: str, seed: int) -> nn.Module:
    module, config, _ = NETWORKS[name]
    network = trained(name)
    if weights == "shuffled":
        twins.shuffle(network, seed)
    else:
        twins.reset(network, seed, partial(module.build, config))
    return network


def entries(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().flatten() for parameter in network.parameters()]


def alike(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@every_network
def test_shuffled_weights_are_those_of_their_layer_in_another_order(name: str) -> None:
    before, after = entries(trained(name)), entries(turned(name, "shuffled", 1))
    for own, other in zip(before, after, strict=True):
        assert torch.equal(own.sort().values, other.sort().values)
    assert sum(torch.equal(own, other) for own, other in zip(before, after, strict=True)) < 0.1 * len(before)


@every_network
@pytest.mark.parametrize("weights", ["shuffled", "untrained"])
def test_a_twin_is_a_function_of_its_seed_and_of_nothing_else(name: str, weights: str) -> None:
    first = turned(name, weights, 1)
    state = torch.get_rng_state()
    again = turned(name, weights, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert alike(first, again)
    assert not alike(first, turned(name, weights, 2))


def test_an_untrained_twin_has_the_initial_weights_of_its_architecture() -> None:
    """Of which a normal distribution with the standard deviation of the published training is known."""
    network = turned("efficientnet", "untrained", 1)
    weights = network.blocks[1].project.convolution.weight
    assert float(weights.detach().std()) == pytest.approx((2 / weights.shape[0]) ** 0.5, rel=0.2)
    assert all(
        torch.equal(unit.norm.weight, torch.ones_like(unit.norm.weight)) for unit in network.blocks[1].children()
    )


def test_scale_and_shift_of_a_channel_stay_together() -> None:
    network = trained("efficientnet")
    norm = network.stem.norm
    pairs = set(zip(norm.weight.tolist(), norm.bias.tolist(), strict=True))
    twins.shuffle(network, 1)
    assert pairs == set(zip(norm.weight.tolist(), norm.bias.tolist(), strict=True))


@pytest.mark.parametrize("name", ["efficientnet", "segmentation 2D", "segmentation 3D"])
def test_batch_norm_has_the_statistics_of_what_it_sees(name: str) -> None:
    """In evaluation mode, where every layer already standardises what the next one gets."""
    network, seen = turned(name, "shuffled", 1).eval(), []
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.register_forward_pre_hook(lambda own, inputs: seen.append((own, inputs[0])))
    with torch.no_grad():
        network(twins.noise(NETWORKS[name][2], 1))
    assert seen
    for norm, values in seen:
        channels = values.transpose(0, 1).flatten(1)
        # within a few percent, as batch norm standardises by the biased variance and keeps the unbiased one
        assert ((norm.running_mean - channels.mean(1)).abs() < 0.05 * channels.std(1)).all()
        torch.testing.assert_close(norm.running_var, channels.var(1), rtol=0.05, atol=1e-4)
        assert norm.momentum == 0.1


@pytest.mark.parametrize("dims", [2, 3])
def test_the_images_have_equal_power_in_every_octave(dims: int) -> None:
    images = twins.noise(dims, 1)
    assert images.shape == twins.IMAGES[dims]
    assert 0 <= images.min() < images.max() <= 1
    spectrum = np.abs(np.fft.fftn(images.numpy() - 0.5, axes=range(2, 2 + dims))) ** 2
    squares = sum(axis**2 for axis in np.meshgrid(*map(np.fft.fftfreq, images.shape[2:]), indexing="ij"))
    frequency = np.broadcast_to(np.sqrt(squares), spectrum.shape)
    low, high = (spectrum[(frequency >= edge) & (frequency < 2 * edge)].sum() for edge in (1 / 8, 1 / 4))
    assert low / high == pytest.approx(1, rel=0.25)


def test_an_objective_has_the_twin_of_its_seed(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", 2, 32)
    prepare(tmp_path / "raw", tmp_path / "data")
    save_weights(trained("efficientnet").state_dict(), tmp_path / "w.safetensors")
    write_json(tmp_path / "w.json", {"architecture": NETWORKS["efficientnet"][1]})
    weights = tmp_path / "w.safetensors"

    def extractor(seed: int, **chosen: str) -> nn.Module:
        options = losses.completed("natural", chosen)
        dataset = Dataset.open(tmp_path / "data")
        return Objective(dataset, "natural", options, weights, torch.device("cpu"), seed).loss.extractor

    assert alike(extractor(3, weights="shuffled"), extractors.load(weights, "shuffled", 3))
    assert alike(extractor(3, weights="untrained"), extractors.load(weights, "untrained", 3))
    assert alike(extractor(3), extractors.load(weights))
    assert alike(extractor(3, weights="trained"), trained("efficientnet"))
    assert not any(parameter.requires_grad for parameter in extractor(3, weights="shuffled").parameters())
