"""SyN: its fields are in our convention, repeat, are left nowhere else, and are what a resumed job goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import make_dataset
from refusals import refused

from likeness import extractors, fields
from likeness.config.study import Study
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.extractors.base import Extractor
from likeness.methods import kinds, syn
from likeness.methods.classical import Recipe, channels, register_pairs
from likeness.methods.syn import MEASURES, register
from likeness.metrics import regularity
from likeness.results import Run
from likeness.userinput.errors import ConfigurationError


@pytest.fixture(scope="module", params=[2, 3])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pairs with a true field, on a grid whose axes have different lengths and spacings."""
    folder = tmp_path_factory.mktemp(f"{request.param}d")
    options: dict[str, Any] = {"dims": request.param, "size": 40, "with_field": True, "amplitude": 2.0}
    prepare(make_dataset(folder / "raw", **options), folder / "prepared")
    return Dataset.open(folder / "prepared")


def pair(dataset: Dataset) -> tuple[PrimaryScorer, torch.Tensor, torch.Tensor]:
    moving, fixed = (dataset.load(id) for id in dataset.pairs_of("test")[0])
    return PrimaryScorer(dataset, moving, fixed), *(torch.from_numpy(one.image)[None] for one in (moving, fixed))


@pytest.mark.parametrize("variant", MEASURES)
def test_it_finds_most_of_a_true_displacement(dataset: Dataset, variant: str, tmp_path: Path) -> None:
    scorer, moving, fixed = pair(dataset)
    found = register(moving, fixed, dataset.spacing, variant, 0.0, tmp_path)
    assert found.shape == (*dataset.shape, dataset.spatial_dims)
    assert found.dtype == np.float32
    before, after = (scorer.primary(field) for field in (np.zeros_like(found), found))
    # around the object there is nothing to register by
    assert after < (0.5 if dataset.spatial_dims == 2 else 0.9) * before
    assert scorer.true_field is not None
    for axis in range(dataset.spatial_dims):
        assert np.corrcoef(found[..., axis].ravel(), scorer.true_field[..., axis].ravel())[0, 1] > 0.4
    assert not list(tmp_path.iterdir())


def test_the_same_comes_out_again(dataset: Dataset, tmp_path: Path) -> None:
    _, moving, fixed = pair(dataset)
    one, other = (register(moving, fixed, dataset.spacing, "mi", 0.3, tmp_path) for _ in range(2))
    assert np.array_equal(one, other)


def test_the_more_it_smooths_the_smoother(dataset: Dataset, tmp_path: Path) -> None:
    _, moving, fixed = pair(dataset)
    made = [register(moving, fixed, dataset.spacing, "mi", smoothing, tmp_path) for smoothing in (10, 3, 1, 0)]
    rough = [regularity.sdlogj(regularity.jacobian(field), None) for field in made]
    assert rough == sorted(rough)
    assert rough[0] < 0.6 * rough[-1]


@pytest.mark.parametrize("dims", [2, 3])
def test_features_are_channels_of_unit_norm_on_the_grid_of_the_image(dims: int) -> None:
    # no multiple of what the extractor strides
    image = torch.rand(1, 1, *(21, 18, 13)[:dims], generator=torch.Generator().manual_seed(1))
    extractor = extractors.tiny("autoencoder", dims)
    maps = extractor(image)
    found = channels(image, extractor)
    assert found.shape == (1 + sum(one.shape[1] for one in maps), *image.shape[2:])
    norms = found.flatten(1).norm(dim=1)
    alive = norms > 0
    assert torch.allclose(norms[alive], torch.ones(int(alive.sum())), atol=1e-5)
    assert torch.allclose(found[0] * image.norm(), image[0, 0], atol=1e-5)
    assert torch.equal(channels(image, None), image[0])


class Squares(Extractor):
    """Stands for an extractor whose features tell where things are: powers of the image, the last at half the size."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        halved = torch.nn.functional.interpolate(image, scale_factor=0.5)
        return [torch.cat([image.square(), image.sqrt()], dim=1), halved]


def test_features_are_registered_with_the_image(dataset: Dataset, tmp_path: Path) -> None:
    scorer, *images = pair(dataset)
    moving, fixed = (channels(one[None], Squares()) for one in images)
    found = register(moving, fixed, dataset.spacing, "deepsim_ae", 0.0, tmp_path)
    alone = register(*images, dataset.spacing, "mi", 0.0, tmp_path)
    assert scorer.primary(found) < 0.9 * scorer.primary(np.zeros_like(found))
    assert not np.array_equal(found, alone)


def test_where_ants_fails_the_field_is_not_finite(tmp_path: Path, monkeypatch) -> None:
    import ants

    def failing(*_: object, **__: object) -> None:
        msg = "Registration failed with error code 1"
        raise RuntimeError(msg)

    monkeypatch.setattr(ants, "registration", failing)
    image = torch.rand(1, 16, 16)
    assert np.isnan(register(image, image, (1, 1), "mi", 0.0, tmp_path)).all()


def test_what_was_registered_is_not_registered_again(dataset: Dataset, tmp_path: Path, monkeypatch) -> None:
    calls = []

    def counted(moving: torch.Tensor, *others: Any) -> np.ndarray:
        calls.append(others[3])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.full((*moving.shape[1:], dataset.spatial_dims), others[3], np.float32)

    monkeypatch.setattr(syn, "register", counted)
    path, pairs = [3.0, 0.0], dataset.pairs_of("val") + dataset.pairs_of("test")
    with pytest.raises(KeyboardInterrupt):
        register_pairs(dataset, Recipe("syn", "mi", path), None, tmp_path, "tiny")
    register_pairs(dataset, Recipe("syn", "mi", path), None, tmp_path, "tiny")
    # the third was cut off, and is all that was done twice
    assert calls == [3.0, 0.0, 3.0, *(path * len(pairs))[2:]]
    fields.write_manifest(tmp_path, dataset.shape, [fields.Search(smoothing) for smoothing in path])
    found = fields.Fields.open(tmp_path)
    assert all((found.read(search, *one) == search.lam).all() for search in found.searches for one in pairs)


# What a study says of it.

SMALL: dict[str, Any] = {"title": "small", "datasets": {"mni-brain": None}, "losses": {"mse": None}}


def study(**said: Any) -> Study:
    return Study.load(SMALL | {"seeds": [1, 2]} | said, "c.yaml")


def test_the_card_names_what_the_module_has() -> None:
    assert set(kinds.card("syn")["variants"]) == set(MEASURES)


def test_every_form_is_a_run_and_those_with_a_trained_extractor_have_its_seeds() -> None:
    made = study(methods={"syn": {"variants": ["mi", "deepsim_ae", "deepsim_vgg"]}})
    runs = [Run("mni-brain", "syn", None, variant, seed) for variant, seed in (("mi", None), ("deepsim_ae", 1))]
    assert list(made.runs()) == [
        *runs,
        runs[1]._replace(seed=2),
        Run("mni-brain", "syn", None, "deepsim_vgg"),
    ]
    assert list(made.pretrainings()) == [("mni-brain", "autoencoder", 1), ("mni-brain", "autoencoder", 2)]
    assert made.published == ["vgg"]
    assert made.methods["syn"].scale == "smoothing"
    assert study(methods={"syn": None}).classical_recipe("syn", "mi") == {
        "kind": "syn",
        "variant": "mi",
        "path": [10, 3, 1, 0.3, 0],
        "settings": {},
    }


def test_features_that_are_drawn_or_that_images_cannot_have_are_left_out() -> None:
    both = {"mni-brain": None, "mni-brain-3d": None}
    made = study(datasets=both, methods={"syn": {"variants": ["cc", "deepsim_vgg"]}})
    assert [(run.dataset, run.variant) for run in made.runs()] == [
        ("mni-brain", "cc"),
        ("mni-brain", "deepsim_vgg"),
        ("mni-brain-3d", "cc"),
    ]


@pytest.mark.parametrize(
    ("methods", "key", "facts"),
    [
        ({"syn": {"variants": ["nc"]}}, "syn.variants", ["'nc'", "mi", "cc", "deepsim_seg"]),
        ({"syn": {"variants": ["mse"]}}, "syn.variants", ["'mse'"]),
        ({"syn": {"variants": ["diffusion_indomain"]}}, "syn.variants", ["'diffusion_indomain'"]),
        ({"syn": {"channels_2d": [4]}}, "syn.channels_2d", ["'syn'"]),
        ({"optimisation": {"channels_2d": [4]}}, "optimisation.channels_2d", ["'optimisation'"]),
        ({"voxelmorph": {"smoothing": [1]}}, "voxelmorph.smoothing", ["'voxelmorph'"]),
    ],
)
def test_what_it_cannot_be_told_is_refused(methods: dict[str, Any], key: str, facts: list[str]) -> None:
    with refused(ConfigurationError, f"c.yaml: key 'methods.{key}'", *facts):
        study(methods=methods)


def test_a_form_that_applies_to_no_dataset_is_refused() -> None:
    with refused(ConfigurationError, "c.yaml: key 'methods.syn.variants'", "'deepsim_vgg'", "'mni-brain-3d'", "slices"):
        study(datasets={"mni-brain-3d": None}, methods={"syn": {"variants": ["mi", "deepsim_vgg"]}})


def test_a_method_or_one_of_its_forms_is_left_out_on_a_dataset() -> None:
    datasets = {"mni-brain": {"without_methods": ["syn/cc"]}, "cells": {"without_methods": ["syn"]}}
    made = study(datasets=datasets, methods={"syn": None, "optimisation": None})
    assert [(run.dataset, run.method, run.variant) for run in made.runs()] == [
        ("mni-brain", "syn", "mi"),
        ("mni-brain", "optimisation", "default"),
        ("cells", "optimisation", "default"),
    ]
    with refused(ConfigurationError, "c.yaml: key 'datasets.mni-brain.without_methods'", "'syn/ncc'", "'syn/cc'"):
        study(datasets={"mni-brain": {"without_methods": ["syn/ncc"]}}, methods={"syn": None})
