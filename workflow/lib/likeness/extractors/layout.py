"""Whether weights that others published are those of the network that is to take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        raise Refusal(other_network(path, fault))
    return tuple(found.shape)


def other_network(path: Path, fault: str) -> str:
    """Say what is wrong with a file that is of another network than the one it is read for."""
    return f"{path}: {fault}, so it is of another network; fetch the file again"


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Give names and shapes of the weights of a network, which is built without memory for them."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build().state_dict().items()}


def check(state: dict[str, Tensor], build: Callable[[], nn.Module], path: Path) -> None:
    """Compare names and shapes of weights with those of a network.

    Raises:
        Refusal: if one is missing, too many or of another shape.
    """
    expected = shapes(build)
    compare(state, expected, path)
    if (key := next((key for key in state if key not in expected), None)) is not None:
        raise Refusal(other_network(path, f"has weights '{key}', which the network has not"))


def compare(state: dict[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Compare the shapes of some weights with those that are expected.

    Raises:
        Refusal: if one is missing or of another shape.
    """
    for key, wanted in expected.items():
        if key not in state:
            raise Refusal(other_network(path, f"has no weights '{key}'"))
        found = tuple(state[key].shape)
        if found != wanted:
            raise Refusal(other_network(path, f"has weights '{key}' of shape {found}, where the network has {wanted}"))


def width(state: dict[str, Tensor], key: str, divisor: int, path: Path) -> int:
    """Give the length of the bias that tells how many channels a network has at a place.

    Raises:
        Refusal: if it is missing, no vector, or of a length that cannot be divided evenly.
    """
    (found,) = shape(state, key, 1, path)
    if not found or found % divisor:
        fault = f"has weights '{key}' of length {found}, where the network has a positive multiple of {divisor}"
        raise Refusal(other_network(path, fault))
    return found
