"""What is measured: our losses, the naive forms of those with a network, and what other libraries offer for the same.

All get the moved image as it is, no warp: a loss of ours receives a registration whose ``moved`` is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from targets import LARGEST
from torch import Tensor, nn

from likeness import extractors, losses
from likeness.data.store import Dataset
from likeness.losses.base import Registration
from likeness.runtime.atomic import read_json
from likeness.training.randomness import generator

ROOT = Path(__file__).parents[1]
CLASSES = 4
PUBLISHED: dict[str, dict[str, Any]] = {
    "adm": {"channels": [256, 256, 512, 512, 1024, 1024], "head": 64, "groups": 32},
    "stable_diffusion": {
        "unet": {
            "block_out_channels": [320, 640, 1280, 1280],
            "layers_per_block": 2,
            "cross_attention_dim": 1024,
            "attention_head_dim": [5, 10, 20, 20],
            "use_linear_projection": True,
        },
        "vae": {
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
            "latent_channels": 4,
            "scaling_factor": 0.18215,
        },
        "schedule": {"first": 0.00085, "last": 0.012, "steps": 1000, "root": True},
        "prompt": [77, 1024],
    },
}
"""Architectures that otherwise come with the weights: of 256x256_diffusion_uncond and of Stable Diffusion 2.1 base."""
SMALL = 32
"""Voxels along an axis on which gradients are compared."""


class Ready(NamedTuple):
    """A forward pass about to be timed, the tensors that its backward pass brings gradients to, and the loss."""

    forward: Callable[[], Tensor]
    leaves: dict[str, Tensor]
    module: nn.Module | None = None


Contestant = Callable[[Tensor, Tensor], Ready]
"""Takes the moved and the fixed image, ``(batch, 1, *spatial)`` in [0, 1], and makes everything else beforehand."""


def images(shape: tuple[int, ...], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Draw two related smooth images of a shape ``(batch, 1, *spatial)``, always the same.

    Both reach from 0 to 1: libraries that stretch intensities to that range then see the same images as the others.
    """
    fixed, other = (_texture(shape, seed) for seed in (1, 2))
    return _stretched(0.7 * fixed + 0.3 * other).to(device), _stretched(fixed).to(device)


def _texture(shape: tuple[int, ...], seed: int) -> Tensor:
    coarse = [max(2, n // 3) for n in shape[2:]]
    noise = torch.randn(*shape[:2], *coarse, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, shape[2:], mode="bicubic" if len(coarse) == 2 else "trilinear", align_corners=True)


def _stretched(image: Tensor) -> Tensor:
    axes = tuple(range(1, image.dim()))
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    return (image - low) / (high - low)


def contestant(
    loss: str, library: str, dims: int, device: str = "cpu", largest: float = LARGEST
) -> tuple[Contestant, str]:
    """Build one of the forms of a loss.

    Args:
        loss: name of one of our losses.
        library: ``likeness``, ``naive``, or a peer in :data:`PEERS`.
        dims: 2 or 3.
        device: where the images will be.
        largest: weights of the largest network on a CPU; a larger one is replaced by its tiny form.

    Returns:
        The contestant, and what must be said of it or nothing.

    Raises:
        ImportError: if the peer is not installed.
    """
    if library not in ("likeness", "naive"):
        function = PEERS[loss][library](losses.options(loss), dims)
        return partial(_peer, function.to(device) if isinstance(function, nn.Module) else function, loss), ""
    wanted, said, network = losses.card(loss)["extractor"], "", {}
    if wanted is not None:
        network["extractor"], said = extractor(wanted, dims, device, largest)
    module = losses.build(loss, **network).to(device)
    # what is frozen stays so in our form; the naive one gives every weight a gradient
    return partial(_ours, module.requires_grad_(library == "naive"), library == "naive", loss), said


def _ours(module: nn.Module, naive: bool, loss: str, moved: Tensor, fixed: Tensor) -> Ready:
    """Get a loss of ours ready."""
    pair, leaves = registration(loss, moved, fixed, naive)

    def forward() -> Tensor:
        with gradients_everywhere() if naive else nullcontext():
            # the mean over pairs is what a training minimises and what peers give
            return module(pair).mean()

    return Ready(forward, leaves, module)


def _peer(function: Callable[[Tensor, Tensor], Tensor], loss: str, moved: Tensor, fixed: Tensor) -> Ready:
    """Get a peer ready; one that compares labels gets the one-hot ones."""
    pair, leaves = registration(loss, moved, fixed)
    of = "moved" if pair.moved_labels is None else "moved_labels"
    return Ready(lambda: function(getattr(pair, of), getattr(pair, of.replace("moved", "fixed"))), {of: leaves[of]})


def registration(
    loss: str, moved: Tensor, fixed: Tensor, naive: bool = False
) -> tuple[Registration, dict[str, Tensor]]:
    """Make a registration whose moved image is given, with labels and masks where a loss asks for them.

    In a training the displacement carries gradients to all that is warped: to the moved image, its labels and the mask.

    Returns:
        The registration, and the tensors that get gradients: those, the displacement and, in the naive form, both
        images before registration.
    """
    requires, spacing = losses.card(loss)["requires"], (1.0,) * (moved.dim() - 2)
    still = moved.new_zeros(len(moved), len(spacing), *moved.shape[2:])
    more: dict[str, Any] = {}
    if {"label", "labels"} & set(requires):
        quarters = [(image.clamp(0, 0.99) * CLASSES).long() for image in (moved, fixed)]
        more |= {"moving_label_map": quarters[0], "fixed_label_map": quarters[1], "classes": CLASSES}
    if "mask" in requires:
        more |= {"moving_mask": (moved > 0.3).to(moved), "fixed_mask": (fixed > 0.3).to(fixed)}
    source = generator(moved.device, 0)
    pair = Registration(moved.clone(), fixed.clone(), still, **more, spacing=spacing, generator=source)
    pair.__dict__["moved"] = moved.clone()
    given = {part: getattr(pair, part) for part in ("moved", "moved_labels", "mask", "fixed_labels")}
    leaves = {part: value for part, value in given.items() if value is not None and part != "fixed_labels"}
    leaves["displacement"] = still
    if naive:
        leaves |= {"moving": pair.moving, "fixed": pair.fixed}
    for leaf in leaves.values():
        leaf.requires_grad_()
    return pair, leaves


@contextmanager
def gradients_everywhere() -> Iterator[None]:
    """Let ``torch.no_grad`` do nothing, so that a loss forms the graph of the fixed image's features too."""
    enter, leave = torch.no_grad.__enter__, torch.no_grad.__exit__
    torch.no_grad.__enter__ = lambda self: None  # type: ignore[method-assign] # noqa: ARG005
    torch.no_grad.__exit__ = lambda self, *error: None  # type: ignore[method-assign] # noqa: ARG005
    try:
        yield
    finally:
        torch.no_grad.__enter__, torch.no_grad.__exit__ = enter, leave  # type: ignore[method-assign]


def extractor(name: str, dims: int, device: str = "cpu", largest: float = LARGEST) -> tuple[nn.Module, str]:
    """Build a frozen extractor with random weights: as the default study trains it, or as it was published.

    Returns:
        The network, and a word on it where it is not what a study has.
    """
    module = import_module(f"likeness.extractors.{name}")
    config = _architecture(name, dims)
    if config is None:
        return extractors.tiny(name, dims), f"the extractor {name} is a tiny one, for want of its architecture"
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in module.build(config).parameters())
    if device == "cpu" and weights > largest:
        return extractors.tiny(name, dims), f"the extractor {name} is a tiny one: {weights / 1e6:.0f} million weights"
    torch.manual_seed(0)
    return extractors.freeze(module.build(config)), ""


def _architecture(name: str, dims: int) -> dict[str, Any] | None:
    """Give the configuration of an extractor in its real size, of a published one if it says or was converted."""
    module = import_module(f"likeness.extractors.{name}")
    if hasattr(module, "architecture"):
        study = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["pretraining"]
        labels = dict.fromkeys(range(CLASSES), "")
        meta = {"spatial_dims": dims, "shape": (96,) * dims, "labels": labels, "evaluate": list(labels)[1:]}
        dataset = Dataset(ROOT, meta, pd.DataFrame(), pd.DataFrame())
        return {"name": name, **module.architecture(dataset, study[f"channels_{dims}d"], study.get("norm", "batch"))}
    converted = ROOT / "results" / "extractors" / f"{name}.json"
    if converted.exists():
        return read_json(converted, converted)["architecture"]
    published = getattr(module, "FULL", PUBLISHED.get(name))
    return None if published is None else {"name": name, **published}


def _monai_ncc(options: dict[str, Any], dims: int) -> nn.Module:
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    return LocalNormalizedCrossCorrelationLoss(dims, kernel_size=options["window"])


def _neurite_ncc(options: dict[str, Any], dims: int) -> Callable[[Tensor, Tensor], Tensor]:  # noqa: ARG001
    from neurite.nn.modules import NCC

    correlation = NCC(window_size=options["window"])
    return lambda moved, fixed: -correlation(moved, fixed).mean()


def _monai_nmi(options: dict[str, Any], dims: int) -> nn.Module:  # noqa: ARG001
    from monai.losses import GlobalMutualInformationLoss

    return GlobalMutualInformationLoss(num_bins=options["bins"])


def _kornia_nmi(options: dict[str, Any], dims: int) -> Callable[[Tensor, Tensor], Tensor]:
    from kornia.losses import normalized_mutual_information_loss_2d, normalized_mutual_information_loss_3d

    function = normalized_mutual_information_loss_2d if dims == 2 else normalized_mutual_information_loss_3d
    return lambda moved, fixed: function(moved[:, 0], fixed[:, 0], num_bins=options["bins"]).mean()


def _torch_mse(options: dict[str, Any], dims: int) -> nn.Module:  # noqa: ARG001
    return nn.MSELoss()


def _neurite_mse(options: dict[str, Any], dims: int) -> nn.Module:  # noqa: ARG001
    from neurite.nn.modules import MSE

    return MSE()


def _monai_dice(options: dict[str, Any], dims: int) -> nn.Module:  # noqa: ARG001
    from monai.losses import DiceLoss

    return DiceLoss(squared_pred=True)


def _neurite_dice(options: dict[str, Any], dims: int) -> Callable[[Tensor, Tensor], Tensor]:  # noqa: ARG001
    from neurite.nn.functional import dice

    return lambda moved, fixed: 1 - dice(moved, fixed).mean()


PEERS: dict[str, dict[str, Callable[[dict[str, Any], int], Callable[[Tensor, Tensor], Tensor]]]] = {
    "mse": {"torch": _torch_mse, "neurite": _neurite_mse},
    "ncc": {"monai": _monai_ncc, "neurite": _neurite_ncc},
    "nmi": {"monai": _monai_nmi, "kornia": _kornia_nmi},
    "dice_sup": {"monai": _monai_dice, "neurite": _neurite_dice},
}
"""What other libraries offer for a loss of ours. MONAI has mutual information without the normalisation."""


def gradient(build: Contestant, moved: Tensor, fixed: Tensor) -> Tensor | None:
    """Give the gradient of a contestant by what it compares: the moved image or labels, or the displacement."""
    ready = build(moved, fixed)
    ready.forward().backward()
    grads = [ready.leaves[name].grad for name in ("moved", "moved_labels", "displacement") if name in ready.leaves]
    return next((grad for grad in grads if grad is not None), None)


def agreement(build: Contestant, loss: str, dims: int, device: str = "cpu", largest: float = LARGEST) -> float | None:
    """Correlate the gradient of a contestant with that of our loss on a small pair of images.

    Returns:
        1 for equal directions; ``None`` where the loss has no gradient by the image.
    """
    pair = images((1, 1, *(SMALL,) * dims), device)
    ours, theirs = (gradient(one, *pair) for one in (contestant(loss, "likeness", dims, device, largest)[0], build))
    if ours is None or theirs is None:
        return None
    if ours.shape == pair[0].shape:
        # where intensities are stretched first, the gradient of the stretch is at both ends of the range
        inside = (pair[0] > 0) & (pair[0] < 1)
        ours, theirs = ours[inside], theirs[inside]
    return float(F.cosine_similarity(ours.flatten().double(), theirs.flatten().double(), dim=0))


def autocast(device: str, dtype: str) -> AbstractContextManager[object]:
    """Compute as a training in that precision does: float32 images, under autocast if it is bfloat16."""
    return nullcontext() if dtype == "float32" else torch.autocast(device, dtype=getattr(torch, dtype))
