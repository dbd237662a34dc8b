"""Whether weights that others published are those of the network that is to take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from likeness.refusals import Refusal


def shape(state: dict[str, Tensor], key: str, dims: int, path: Path) -> tuple[int, ...]:
    """Give the shape of the weights that tell what network a file is of.

    Raises:
        Refusal: if they are missing or have another number of axes.
    """
    found = state.get(key)
    if found is None or found.dim() != dims:
        fault = f"has no weights '{key}'" if found is None else f"has weights '{key}' of {found.dim()} axes, not {dims}"
        raise Refusal(_other(path, fault))
    return tuple(found.shape)


def _other(path: Path, fault: str) -> str:
    return f"{path}: {fault}, so it is of another network; fetch the file again"


def check(state: dict[str, Tensor], build: Callable[[], nn.Module], path: Path) -> None:
    """Compare names and shapes of weights with those of a network, which is built without memory for them.

    Raises:
        Refusal: if one is missing, too many or of another shape.
    """
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    for key in (*expected, *state):
        if key not in state:
            fault = f"has no weights '{key}'"
        elif key not in expected:
            fault = f"has weights '{key}', which the network has not"
        elif tuple(state[key].shape) != expected[key]:
            fault = f"has weights '{key}' of shape {tuple(state[key].shape)}, where the network has {expected[key]}"
        else:
            continue
        raise Refusal(_other(path, fault))
