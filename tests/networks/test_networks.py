"""Networks: shapes, strides of thin slabs, identity at the start, and the extractors' layout."""

from importlib import import_module

import pytest
import torch

from likeness import extractors, networks
from likeness.networks.unet import Encoder, UNet, stage_strides


@pytest.mark.parametrize("shape", [(32, 48), (37, 50), (217, 190), (24, 20, 28), (41, 18, 39)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_displacement_has_the_images_shape_and_starts_near_zero(shape: tuple[int, ...], norm: str) -> None:
    network = networks.build("voxelmorph", shape, channels=[4, 6, 8], norm=norm).eval()
    moving, fixed = torch.rand(2, 2, 1, *shape)
    displacement = network(moving, fixed)
    assert displacement.shape == (2, len(shape), *shape)
    assert displacement.abs().max() < 1e-2


def test_a_diffeomorphic_network_integrates() -> None:
    network = networks.build("voxelmorph", (32, 32), channels=[4, 4], norm="none", diffeomorphic=True)
    assert network(*torch.rand(2, 1, 1, 32, 32)).shape == (1, 2, 32, 32)


def test_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no network 'voxelmoprh'; use one of voxelmorph"):
        networks.build("voxelmoprh", (32, 32))


def test_a_thin_axis_is_strided_at_most_twice() -> None:
    assert stage_strides((217, 18, 182), 4) == [(2, 2, 2), (2, 2, 2), (2, 1, 2), (2, 1, 2)]


def test_encoder_halves_every_axis_and_pads_what_does_not_divide() -> None:
    features = Encoder(1, [3, 4, 5], stage_strides((37, 50), 3))(torch.rand(1, 1, 37, 50))
    assert [tuple(f.shape) for f in features] == [(1, 3, 20, 28), (1, 4, 10, 14), (1, 5, 5, 7)]


def test_without_skips_the_output_depends_on_the_coarsest_features_alone() -> None:
    torch.manual_seed(0)
    unet = UNet(1, 1, [3, 4], stage_strides((40, 40), 2), skips=False)
    unet.encoder.stages[-1][-1] = torch.nn.Identity()
    for parameter in unet.encoder.stages[-1].parameters():
        torch.nn.init.zeros_(parameter)
    first, second = unet(torch.rand(2, 1, 40, 40))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name in extractors.PRETRAINED if name != "denoiser"])
@pytest.mark.parametrize("dims", [2, 3])
def test_tiny_extractors_are_frozen_and_survive_saving(name: str, dims: int, tmp_path) -> None:
    import json

    from safetensors.torch import save_file

    extractor = extractors.tiny(name, dims)
    assert not any(p.requires_grad for p in extractor.parameters())
    image = torch.rand(1, 1, *(33, 24, 20)[:dims])
    features = extractor(image)
    assert [f.shape[1] for f in features] == [4, 6, 8]
    weights = tmp_path / "tiny.safetensors"
    save_file(extractor.state_dict(), weights)
    module = import_module(f"likeness.extractors.{name}")
    config = {"name": name, **module.TINY, "strides": [[2] * dims] * 3}
    weights.with_suffix(".json").write_text(json.dumps({"architecture": config}))
    assert all(torch.equal(a, b) for a, b in zip(extractors.load(weights)(image), features, strict=True))
    weights.with_suffix(".json").write_text(json.dumps({"architecture": {**config, "channels": [4, 6, 9]}}))
    with pytest.raises(ValueError, match="another architecture"):
        extractors.load(weights)
