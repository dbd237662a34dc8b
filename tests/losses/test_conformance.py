"""What every similarity loss must do, in 2D and 3D. Losses are found by themselves; none is named here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.mathtext import MathTextParser
from pydantic import TypeAdapter
from short_search import RECIPE
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from likeness import extractors, losses
from likeness.config import cards
from likeness.figures.looks import look
from likeness.geometry import diffusion_energy, integrate, jacobian_determinant, warp
from likeness.interpolation import pitch
from likeness.losses.base import Registration, SimilarityLoss
from likeness.methods.optimisation import Optimiser
from likeness.transformations import refine

RULES = Path(__file__).parents[2] / "workflow" / "rules" / "losses"
CASES = [(name, dims) for name in losses.names() for dims in losses.card(name)["dimensions"]]
SHAPES = {2: (40, 48), 3: (24, 20, 28)}
CLASSES = 4

TRANSFORMS = {
    "offset": lambda image: image + 0.1,
    "scale": lambda image: 0.5 * image,
    "inversion": lambda image: 1 - image,
    "monotone": lambda image: image**2,
}

every_loss = pytest.mark.parametrize(("name", "dims"), CASES, ids=[f"{n}-{d}d" for n, d in CASES])


def forms(name: str) -> list[dict[str, Any]]:
    """Give the options that make another function of a loss of features; no options for the others."""
    options = losses.options(name)
    if not {"comparator", "extract"} <= set(options):
        return [{}]
    asked = [
        {"comparator": "cosine", "extract": "after"},
        {"comparator": "lncc", "extract": "after"},
        {"comparator": "cosine", "extract": "before"},
        {"comparator": "lncc", "extract": "before"},
        {"comparator": "l2", "extract": "after", "masked": True},
    ]
    return [form for form in asked if any(form[key] != options[key] for key in form)] + [{}]


FORMS = [(name, dims, form) for name, dims in CASES for form in forms(name)]
every_form = pytest.mark.parametrize(
    ("name", "dims", "form"), FORMS, ids=["-".join([n, f"{d}d", *map(str, form.values())]) for n, d, form in FORMS]
)
every_card = pytest.mark.parametrize("name", losses.names())


def build_with(name: str, dims: int, **options: Any) -> SimilarityLoss:
    wanted = losses.card(name)["extractor"]
    return losses.build(name, **options, **({} if wanted is None else {"extractor": extractors.tiny(wanted, dims)}))


def build(name: str, dims: int, form: dict[str, Any] | None = None) -> SimilarityLoss:
    return _built(name, dims, tuple((form or {}).items()))


@cache
def _built(name: str, dims: int, form: tuple[tuple[str, Any], ...]) -> SimilarityLoss:
    return build_with(name, dims, **dict(form))


def texture(shape: tuple[int, ...], seed: int, batch: int = 1) -> Tensor:
    """Smooth random images ``(batch, 1, *shape)`` in [.1, .9]."""
    noise = torch.randn(batch, 1, *(max(2, n // 3) for n in shape), generator=torch.Generator().manual_seed(seed))
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    smooth = F.interpolate(noise, shape, mode=mode, align_corners=True)
    axes = tuple(range(1, smooth.dim()))
    low, high = smooth.amin(axes, keepdim=True), smooth.amax(axes, keepdim=True)
    return 0.1 + 0.8 * (smooth - low) / (high - low)


def ellipse(shape: tuple[int, ...], radius: float = 0.8) -> Tensor:
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (torch.stack(axes).square().sum(0) < radius**2).float()[None, None]


def corner(shape: tuple[int, ...]) -> Tensor:
    axes = torch.meshgrid(*(torch.linspace(0, 1, n) for n in shape), indexing="ij")
    return (torch.stack(axes).amax(0) < 0.2).float()[None, None]


def registration(moving: Tensor, fixed: Tensor, displacement: Tensor | None = None, **more: Any) -> Registration:
    """A pair with all that a dataset can have: labels, masks of different size, and unmatched content."""
    shape, batch = fixed.shape[2:], len(fixed)
    if displacement is None:
        displacement = torch.zeros(batch, len(shape), *shape, dtype=fixed.dtype)
    quarters = [(image.clamp(0, 0.99) * CLASSES).long() for image in (moving, fixed)]
    return Registration(
        moving,
        fixed,
        displacement,
        *quarters,
        moving_mask=ellipse(shape, 0.85).to(fixed).expand(batch, -1, *shape),
        fixed_mask=ellipse(shape, 0.75).to(fixed).expand(batch, -1, *shape),
        moving_unmatched=corner(shape).to(fixed).expand(batch, -1, *shape),
        fixed_unmatched=corner(shape).to(fixed).expand(batch, -1, *shape),
        classes=CLASSES,
        spacing=(1.0,) * len(shape),
        generator=torch.Generator().manual_seed(7),
        **more,
    )


def different(dims: int, batch: int = 1, shape: tuple[int, ...] | None = None) -> Registration:
    """A pair of related images at a random displacement of up to two voxels."""
    shape = shape or SHAPES[dims]
    fixed = texture(shape, 1, batch)
    moving = 0.7 * fixed + 0.3 * texture(shape, 2, batch)
    push = torch.cat([texture(shape, 10 + axis, batch) for axis in range(dims)], dim=1)
    return registration(moving, fixed, 4 * (push - 0.5))


def value_and_gradient(
    loss: SimilarityLoss, pair: Registration, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each pair's value, and the gradient of their sum, or of their sum by weights, by the displacement."""
    displacement = pair.displacement.detach().clone().requires_grad_()
    values = loss(replace(pair, displacement=displacement, generator=torch.Generator().manual_seed(7)))
    (values if weights is None else values * weights).sum().backward()
    assert displacement.grad is not None
    return values.detach(), displacement.grad


def parts(pair: Registration, batch: list[int]) -> Registration:
    """Give a registration of some of the pairs, in this order."""
    sides = [f"{side}{part}" for side in ("moving", "fixed") for part in ("", "_label_map", "_mask", "_unmatched")]
    return replace(pair, **{key: getattr(pair, key)[batch] for key in ("displacement", *sides)})


@every_form
def test_has_a_local_minimum_at_identity_under_shifts(name: str, dims: int, form: dict[str, Any]) -> None:
    image = texture(SHAPES[dims], 0)
    loss = build(name, dims, form)
    still = loss(registration(image, image))
    for axis, voxels in product(range(dims), (-2, -1, 1, 2)):
        shift = torch.zeros(1, dims, *SHAPES[dims])
        shift[:, axis] = voxels
        assert loss(registration(image, image, shift)) > still + 1e-4, f"axis {axis}, {voxels} voxels"


HARD = {
    "constant": lambda shape: (torch.full((1, 1, *shape), 0.3), torch.full((1, 1, *shape), 0.3)),
    "black": lambda shape: (torch.zeros(1, 1, *shape), torch.zeros(1, 1, *shape)),
    "one constant": lambda shape: (texture(shape, 0), torch.full((1, 1, *shape), 0.3)),
    "other constant": lambda shape: (torch.full((1, 1, *shape), 0.3), texture(shape, 0)),
    "huge offset": lambda shape: (texture(shape, 0) + 1000, texture(shape, 1) + 1000),
    "binary": lambda shape: (texture(shape, 0).round(), texture(shape, 1).round()),
    "tiny": lambda shape: (texture((5,) * len(shape), 0), texture((5,) * len(shape), 1)),
    "anisotropic": lambda shape: (texture((48, 6, 20)[: len(shape)], 0), texture((48, 6, 20)[: len(shape)], 1)),
}


@every_loss
@pytest.mark.parametrize("images", HARD.values(), ids=HARD)
def test_value_and_gradient_are_finite(name: str, dims: int, images: Any) -> None:
    moving, fixed = images(SHAPES[dims])
    for push in (0.0, 0.3):
        displacement = torch.full((1, dims, *fixed.shape[2:]), push)
        value, gradient = value_and_gradient(build(name, dims), registration(moving, fixed, displacement))
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1e3


@every_loss
def test_empty_masks_and_absent_labels_are_no_error(name: str, dims: int) -> None:
    pair = different(dims)
    nothing = torch.zeros_like(pair.fixed)
    pair = replace(pair, moving_mask=nothing, fixed_mask=nothing, moving_label_map=nothing, fixed_label_map=nothing)
    value, gradient = value_and_gradient(build(name, dims), pair)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_form
def test_gradient_agrees_with_finite_differences(name: str, dims: int, form: dict[str, Any]) -> None:
    shape = (13, 11, 12)[:dims]
    pair = different(dims, shape=shape)
    pair = replace(
        pair,
        **{k: getattr(pair, k).double() for k in ("moving", "fixed", "displacement", "moving_mask", "fixed_mask")},
    )
    loss = build(name, dims, form).double()
    try:
        value, gradient = value_and_gradient(loss, pair)
        assert value.dtype == torch.float64
        for seed in range(3):
            direction = torch.randn(pair.displacement.shape, generator=torch.Generator().manual_seed(seed)).double()
            ahead, behind = (
                loss(replace(pair, displacement=pair.displacement + step * direction)) for step in (1e-6, -1e-6)
            )
            expected = (ahead - behind) / 2e-6
            scale = gradient.norm() * direction.norm() / direction.numel() ** 0.5
            assert torch.abs((gradient * direction).sum() - expected) < 1e-4 * scale
    finally:
        loss.float()


@every_form
def test_gives_each_pair_the_value_and_the_gradient_that_it_has_alone(
    name: str, dims: int, form: dict[str, Any]
) -> None:
    """Whatever else is in the batch, wherever the pair stands in it, and however its value is weighted."""
    pair, loss = different(dims, batch=3), build(name, dims, form)
    # one pair far darker than the others, and with a mask of its own, so that no statistic may be shared
    dark = torch.tensor([1, 0.03, 1]).view(3, *[1] * (dims + 1))
    mask = ellipse(SHAPES[dims], 0.5)
    assert pair.fixed_mask is not None
    masks = torch.where(dark < 1, mask, pair.fixed_mask)
    pair = replace(pair, moving=pair.moving * dark, fixed_mask=masks)
    weights, order = torch.tensor([1.0, -3.0, 0.5]), [2, 0, 1]
    values, gradients = value_and_gradient(loss, pair, weights)
    with torch.no_grad():
        elsewhere = loss(parts(pair, order))
    assert values.shape == elsewhere.shape == (3,)
    # networks convolve another batch in another order, which counts where dissimilarity is a small difference from 1
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6 if losses.card(name)["extractor"] else 0)
    close(elsewhere, values[order])
    for k, (value, gradient) in enumerate(zip(values.split(1), gradients.split(1), strict=True)):
        alone, own = value_and_gradient(loss, parts(pair, [k]))
        close(value, alone)
        assert (gradient - weights[k] * own).norm() < 1e-4 * (weights[k] * own).norm()


@every_form
def test_draws_noise_where_its_card_says_so_and_nowhere_else(name: str, dims: int, form: dict[str, Any]) -> None:
    """A loss without it has one value whatever the seed: one run then stands for all."""
    pair, loss, found = different(dims, batch=2), build(name, dims, form), []
    with torch.random.fork_rng():
        for seed in range(4):
            torch.manual_seed(seed)
            found.append(loss(replace(pair, generator=torch.Generator().manual_seed(seed))))
    again = loss(replace(pair, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(again, found[0])
    assert any(not torch.equal(value, found[0]) for value in found) == losses.draws_noise(name, dims)


@every_form
def test_has_the_same_bits_at_another_displacement_of_the_same_pairs(
    name: str, dims: int, form: dict[str, Any]
) -> None:
    """Whatever was kept before, and in whatever mode it was computed."""
    pair, loss = different(dims, batch=2), build(name, dims, form)
    places = [pair.displacement, -0.5 * pair.displacement.flip(1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(pair.at(places[0]))
    with torch.inference_mode():
        loss(pair.at(places[0]))
    for place in (*places, places[0]):
        displacement = place.clone().requires_grad_()
        values = loss(pair.at(displacement))
        (gradient,) = torch.autograd.grad(values.sum(), displacement)
        fresh = replace(pair, displacement=place)
        expected = value_and_gradient(loss, fresh)
        assert torch.equal(values, expected[0])
        assert torch.equal(gradient, expected[1])
        maps = loss.map(pair.at(place)), loss.map(fresh)
        assert maps[0] is maps[1] is None or (maps[0] is not None and torch.equal(*maps))


@every_form
def test_extracts_features_of_the_images_alone_once_for_all_displacements(
    name: str, dims: int, form: dict[str, Any]
) -> None:
    pair, loss = different(dims), build(name, dims, form)
    parts_of_networks = {module for network in loss.children() for module in network.modules()}
    passed: list[nn.Module] = []
    hook = register_module_forward_pre_hook(lambda module, _: passed.append(module))
    counts = []
    try:
        for share in (1.0, 0.5, 0.25):
            loss(pair.at(share * pair.displacement))
            counts.append(sum(module in parts_of_networks for module in passed))
            passed.clear()
    finally:
        hook.remove()
    assert bool(counts[0]) == (losses.card(name)["extractor"] is not None)
    before = (losses.options(name) | form).get("extract") == "before"
    assert counts[1:] == [0 if before else counts[0] // 2] * 2


@every_loss
def test_same_seed_and_step_give_the_same_bits(name: str, dims: int) -> None:
    first, again = (value_and_gradient(build(name, dims), different(dims, batch=2)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


@every_form
def test_survives_bfloat16_autocast(name: str, dims: int, form: dict[str, Any]) -> None:
    """Within 2 % of float32, gradients within 10 %: only extractors may lose precision, no arithmetic of a loss."""
    pair, loss = different(dims), build(name, dims, form)
    value, gradient = value_and_gradient(loss, pair)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, rough_gradient = value_and_gradient(loss, pair)
    learned = losses.card(name)["extractor"] is not None
    assert rough.dtype == torch.float32
    assert torch.abs(rough - value) <= (0.02 if learned else 1e-6) * abs(value)
    assert (rough_gradient - gradient).norm() <= (0.1 if learned else 1e-5) * gradient.norm()


@every_loss
def test_value_lies_in_the_range_of_the_card(name: str, dims: int) -> None:
    low, high = losses.card(name)["range"]
    unrelated = registration(texture(SHAPES[dims], 3), texture(SHAPES[dims], 4))
    same = registration(unrelated.fixed, unrelated.fixed)
    opposite = registration(1 - unrelated.fixed, unrelated.fixed)
    for pair in (different(dims), unrelated, same, opposite):
        value = build(name, dims)(pair)
        assert low is None or value >= low - 1e-5
        assert high is None or value <= high + 1e-5


@every_loss
@pytest.mark.parametrize("change", TRANSFORMS)
def test_intensity_invariances_are_those_of_the_card(name: str, dims: int, change: str) -> None:
    pair, loss = different(dims), build(name, dims)
    plain, changed = loss(pair), loss(replace(pair, moving=TRANSFORMS[change](pair.moving)))
    if change in losses.card(name)["invariances"]:
        torch.testing.assert_close(changed, plain, rtol=1e-5, atol=1e-6)
    else:
        # by more than the tolerance within which one that is stated holds
        assert torch.abs(changed - plain) > 1e-5 * abs(plain) + 1e-6


@every_loss
def test_map_averages_to_the_value(name: str, dims: int) -> None:
    pair, loss = different(dims, batch=2), build(name, dims)
    per_voxel = loss.map(pair)
    if per_voxel is None:
        # only a value of the whole image, such as a histogram's, and one of a few sections of a volume have no map
        assert type(loss).map is SimilarityLoss.map or (dims == 3 and "slices" in losses.options(name))
        return
    assert per_voxel.shape == pair.fixed.shape
    torch.testing.assert_close(per_voxel.flatten(1).mean(1), loss(pair), rtol=1e-5, atol=1e-6)


@every_loss
def test_only_the_displacement_and_the_moving_image_get_a_gradient(name: str, dims: int) -> None:
    loss = build(name, dims).train()
    pair = different(dims)
    fixed = pair.fixed.clone().requires_grad_(losses.card(name)["extractor"] is not None)
    value_and_gradient(loss, replace(pair, fixed=fixed))
    assert fixed.grad is None
    assert not any(module.training for child in loss.children() for module in child.modules())
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())
    assert bool(list(loss.children())) == (losses.card(name)["extractor"] is not None)


@every_loss
def test_validates_in_inference_mode(name: str, dims: int) -> None:
    with torch.inference_mode():
        value = build(name, dims)(different(dims))
    torch.testing.assert_close(value, build(name, dims)(different(dims)))


@every_loss
def test_says_what_it_lacks_and_needs_nothing_else(name: str, dims: int) -> None:
    """An extractor's labels are needed before the loss runs, so they are not the loss's to miss."""
    pair = different(dims)
    without = {
        "mask": replace(pair, moving_mask=None, fixed_mask=None),
        "label": replace(pair, moving_label_map=None, fixed_label_map=None),
        "unmatched": replace(pair, moving_unmatched=None, fixed_unmatched=None),
    }
    loss, card = build(name, dims), losses.card(name)
    for what, bare in without.items():
        if what in card["requires"] and card["extractor"] is None:
            with pytest.raises(ValueError, match=f"^{name}: needs a (map of )?{what}"):
                loss(bare)
        else:
            assert loss(bare).isfinite()


@every_card
def test_card_is_complete(name: str) -> None:
    card = losses.card(name)
    assert {*losses.KEYS, *losses.DEFAULTS, "title", "order"} <= set(card)
    assert not card.get("only_trained", "").endswith(".")
    assert card["title"]
    assert card["formula"]
    assert "$" not in card["formula"]
    MathTextParser("path").parse(f"${card['formula']}$")
    assert re.fullmatch(r"#[0-9A-F]{6}", look(name)["colour"])
    MarkerStyle(look(name)["marker"])
    assert card["doi"] is None or re.fullmatch(r"10\.\d{4,}/\S+", card["doi"])
    assert set(card["dimensions"]) <= {2, 3}
    wide = {"window", "sigma", "radius", "dilation"} & set(losses.options(name))
    assert not wide or card["extractor"] or all(f"`{option}`" in card["window"] for option in wide)
    noise = card.get("noise", {})
    assert set(noise) <= set(card["dimensions"])
    assert set(noise.values()) <= set(losses.options(name)), "noise: names no option of the loss"
    for dims, key in noise.items():
        usual, most = losses.options(name)[key], losses.limits(name)[key]["maximum"]
        assert losses.with_more_draws(name, dims, {}, 4) == {key: 4 * usual}
        assert losses.with_more_draws(name, dims, {key: most, "x": 1}, 4) == {key: most, "x": 1}
    assert set(card["requires"]) <= {"mask", "label", "labels", "unmatched"}
    assert all(reason and not reason.endswith(".") for reason in card["requires"].values())
    assert set(card["invariances"]) <= set(TRANSFORMS)
    for grid in (card["grid"], card["raw_grid"]):
        assert grid == sorted(grid)
        assert all(weight > 0 for weight in grid)


@every_card
def test_place_in_figures_follows_the_supervision(name: str) -> None:
    card = losses.card(name)
    assert card["order"] // 100 - 1 == ["none", "external", "in-domain", "labels"].index(card["supervision"])


@every_card
def test_rule_and_module_have_one_name(name: str) -> None:
    rule = (RULES / f"{name}.smk").read_text()
    assert f"use rule train as train_{name} with:" in rule
    assert f'loss="{name}"' in rule


@every_card
def test_the_options_of_the_card_are_the_keywords_of_the_constructor(name: str) -> None:
    """Which has no defaults of its own: they would be said twice."""
    module = build(name, losses.card(name)["dimensions"][0])
    parameters = inspect.signature(type(module).__init__).parameters.values()
    assert set(losses.options(name)) == {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"extractor"}
    assert all(p.default is p.empty for p in parameters)


@every_card
def test_the_card_limits_every_option(name: str) -> None:
    """So that a value that the loss would not take is refused before any job."""
    limits, options = losses.limits(name), losses.options(name)
    assert set(limits) <= set(options)
    for option, default in options.items():
        assert option in limits or isinstance(default, bool), f"{option}: say on the card what it may be"
        [rule] = cards.rules({option: default}, limits).values()
        TypeAdapter(cards.annotation(rule)).validate_python(default, strict=True)


@every_loss
def test_works_at_the_limits_of_its_options(name: str, dims: int) -> None:
    pair = different(dims)
    limits = losses.limits(name)
    extremes = [{o: v} for o, rule in limits.items() for k in ("minimum", "maximum") if (v := rule.get(k)) is not None]
    extremes += [{o: v} for o, rule in limits.items() for v in rule.get("enum", [])]
    for options in extremes:
        displacement = pair.displacement.clone().requires_grad_()
        value = build_with(name, dims, **options)(replace(pair, displacement=displacement))
        (gradient,) = torch.autograd.grad(value, displacement)
        assert torch.isfinite(value), options
        assert torch.isfinite(gradient).all(), options


def silhouette(marker: str | tuple[int, int, float]) -> np.ndarray:
    """Draw a marker and fit it to 48 pixels a side: other names or sizes of one shape give the same."""
    figure = Figure(figsize=(1, 1), dpi=144)
    canvas = FigureCanvasAgg(figure)
    style = {"markersize": 48, "markeredgewidth": 3, "markeredgecolor": "black", "color": "black"}
    figure.add_artist(Line2D([0.5], [0.5], marker=marker, **style))
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., 0] < 128
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    reach = max(np.ptp(rows), np.ptp(columns)) / 2
    steps = np.linspace(-reach, reach, 48)
    grid = [np.rint((at[0] + at[-1]) / 2 + steps).astype(int) for at in (rows, columns)]
    return drawn[np.ix_(*grid)]


def test_no_two_losses_look_alike() -> None:
    looks = [look(name) for name in losses.names()]
    for key in ("title", "colour", "marker"):
        values = [one[key] for one in looks]
        assert len(set(values)) == len(values), f"two losses share a {key}"
    shapes = [silhouette(one["marker"]) for one in looks]
    alike = [(a, b) for b in range(len(looks)) for a in range(b) if np.mean(shapes[a] ^ shapes[b]) < 0.02]
    assert not alike, [(looks[a]["title"], looks[b]["title"]) for a, b in alike]


def test_every_loss_gets_as_many_trials_as_any_other() -> None:
    assert all(losses.card(name)["grid"] == losses.DEFAULTS["grid"] for name in losses.names())


def test_every_rule_has_a_module() -> None:
    assert {path.stem for path in RULES.glob("*.smk")} == set(losses.names())


def test_the_pairs_are_related_but_not_aligned() -> None:
    """The suite would prove little if its standard pair were trivial."""
    pair = different(2)
    difference = (warp(pair.moving, pair.displacement) - pair.fixed).abs().mean()
    assert 0.02 < difference < 0.5


FALL = 0.2
"""What an optimisation takes off the end-point error at least."""


@cache
def warped(dims: int) -> tuple[Registration, Tensor]:
    """An image warped by a diffeomorphism that the search could find, and the displacement."""
    shape = SHAPES[dims]
    coarse = torch.cat([texture(tuple(n // 4 for n in shape), 20 + axis) for axis in range(dims)], dim=1) - 0.5
    mode = "bilinear" if dims == 2 else "trilinear"
    truth = integrate(8 * F.interpolate(coarse, shape, mode=mode, align_corners=True))
    moving = texture(shape, 0)
    pair = registration(moving, warp(moving, truth))
    assert pair.moving_label_map is not None
    labels = warp(pair.moving_label_map.float(), truth, mode="nearest").long()
    return replace(pair, fixed_label_map=labels), truth


def optimised(loss: SimilarityLoss, dims: int, lam: float, evaluations: int) -> Tensor:
    pair, _ = warped(dims)
    recipe = replace(RECIPE, levels=1, evaluations=evaluations)
    optimiser = Optimiser(loss, SHAPES[dims], (1.0,) * dims, recipe, torch.device("cpu"))
    found = optimiser.optimise(lambda _: replace(pair), optimiser.nothing(1), lam, optimiser.levels[-1])
    return optimiser.transformation.displacement(found.parameters)


@cache
def balanced(name: str, dims: int) -> float:
    """Give the weight at which loss and regulariser pull equally hard, at some displacement."""
    pair, truth = warped(dims)
    place = (0.3 * truth.flip(1)).requires_grad_()
    values = build(name, dims)(pair.at(place)), diffusion_energy(place)
    pulls = [float(torch.autograd.grad(value.sum(), place)[0].norm()) for value in values]
    return pulls[0] / pulls[1]


@every_form
def test_a_coarser_form_leads_the_same_way_and_asks_no_network_again(
    name: str, dims: int, form: dict[str, Any]
) -> None:
    """Networks that were not trained need not lead anywhere. Random sections of volumes take no coarser form."""
    loss, (pair, truth) = build(name, dims, form), warped(dims)
    learned = losses.card(name)["extractor"] is not None
    assert loss.coarsens(dims) == (dims == 2 or "slices" not in losses.options(name))
    if not loss.coarsens(dims):
        return
    shape = tuple(n // 2 for n in SHAPES[dims])
    coarse = pair.coarser(shape)
    voxels = torch.tensor(pitch(SHAPES[dims], shape)).view(1, -1, *[1] * dims)
    goal = refine(truth, shape) / voxels
    parts_of_networks = {module for network in loss.children() for module in network.modules()}
    passed: list[nn.Module] = []
    values, slopes = [], []
    for share in (0.0, 0.75):
        place = (share * goal).requires_grad_()
        hook = register_module_forward_pre_hook(lambda module, _: passed.append(module))
        try:
            values.append(loss(coarse.at(place)))
        finally:
            hook.remove()
        slopes.append(torch.autograd.grad(values[-1].sum(), place)[0])
        assert any(module in parts_of_networks for module in passed) == (learned and share == 0)
        passed.clear()
    assert all(value.isfinite().all() for value in (*values, *slopes))
    assert all(slope.any() for slope in slopes)
    if not learned:
        assert values[1] < values[0]
        assert (slopes[0] * goal).sum() < 0
    same = replace(pair, moving=pair.fixed, moving_label_map=pair.fixed_label_map, moving_mask=pair.fixed_mask)
    assert loss(same.coarser(shape)) < values[0]


@every_loss
def test_registers_a_pair_that_is_optimised_and_does_not_fold_it(name: str, dims: int) -> None:
    """Unless its card says that it sees nothing as fine as this."""
    displacement, truth = optimised(build(name, dims), dims, 0.1 * balanced(name, dims), 60), warped(dims)[1]
    left = (displacement - truth).norm(dim=1).mean() / truth.norm(dim=1).mean()
    coarse = losses.card(name).get("coarse")
    assert left < 1 - FALL or (coarse and left < 1.1)
    assert not coarse or left > 1 - FALL, "the card says too little"
    assert jacobian_determinant(displacement).min() > 0


class Scaled(nn.Module):
    def __init__(self, loss: SimilarityLoss, factor: float) -> None:
        super().__init__()
        self.loss, self.factor = loss, factor

    def forward(self, pair: Registration) -> Tensor:
        return self.factor * self.loss(pair)


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision, with nothing that was made in single one and the other way round."""

    def anew(dtype: torch.dtype) -> None:
        torch.set_default_dtype(dtype)
        for kept in (_built, warped, balanced):
            kept.cache_clear()

    anew(torch.float64)
    yield
    anew(torch.float32)


@every_loss
def test_takes_the_same_steps_in_other_units(name: str, dims: int) -> None:
    """By powers of two however long the search, by others as long as rounding has not grown."""
    loss, lam = build(name, dims), balanced(name, dims)
    for evaluations, factors, apart in ((30, (2.0**-10, 2.0**10), 1e-4), (10, (1e-3, 1e3), 0.01)):
        expected = optimised(loss, dims, lam, evaluations)
        for factor in factors:
            found = optimised(Scaled(loss, factor), dims, factor * lam, evaluations)
            assert (found - expected).abs().max() < apart


@every_loss
@pytest.mark.usefixtures("double")
def test_takes_the_same_steps_in_any_units_where_rounding_is_small(name: str, dims: int) -> None:
    """In double precision: in single one, a search that is long amplifies what other units round differently."""
    loss, lam = build(name, dims).double(), balanced(name, dims)
    expected = optimised(loss, dims, lam, 30)
    for factor in (1e-3, 1e3):
        found = optimised(Scaled(loss, factor), dims, factor * lam, 30)
        assert (found - expected).abs().max() < 0.01
