"""Files of weights that others published: read safely, and checked to be of the network that is to take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from likeness.userinput.errors import UserError, other_network


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors, in float32, from a file that ``torch.save`` wrote; no code in it is run.

    Raises:
        UserError: if it is anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise  # of the machine, not of the file
    except Exception as error:  # a text is taken for instructions, which end in an error of any kind
        msg = f"{path}: holds no weights that can be read safely ({type(error).__name__}); fetch it again"
        raise UserError(msg) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        msg = f"{path}: holds no dictionary of tensors; fetch it again"
        raise UserError(msg)
    found = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    if (key := next((key for key, value in found.items() if not value.isfinite().all()), None)) is not None:
        msg = f"{path}: has weights '{key}' that are not finite; fetch it again"
        raise UserError(msg)
    return found


def take(state: dict[str, Tensor], keys: Iterable[str], path: Path) -> dict[str, Tensor]:
    """Take some entries of what was read.

    Raises:
        UserError: if one is not there.
    """
    keys = list(keys)
    missing = next((key for key in keys if key not in state), None)
    if missing is not None:
        raise other_network(path, f"has no weights '{missing}'")
    return {key: state[key] for key in keys}


def shape(state: dict[str, Tensor], key: str, dims: int, path: Path) -> tuple[int, ...]:
    """Give the shape of the weights that tell what network a file is of.

    Raises:
        UserError: if they are missing or have another number of axes.
    """
    found = state.get(key)
    if found is None or found.dim() != dims:
        msg = f"has no weights '{key}'" if found is None else f"has weights '{key}' of {found.dim()} axes, not {dims}"
        raise other_network(path, msg)
    return tuple(found.shape)


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Give names and shapes of the weights of a network, which is built without memory for them."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build().state_dict().items()}


def check(state: dict[str, Tensor], build: Callable[[], nn.Module], path: Path) -> None:
    """Compare names and shapes of weights with those of a network.

    Raises:
        UserError: if one is missing, too many or of another shape.
    """
    expected = shapes(build)
    compare(state, expected, path)
    if (key := next((key for key in state if key not in expected), None)) is not None:
        raise other_network(path, f"has weights '{key}', which the network has not")


def compare(state: dict[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Compare the shapes of some weights with those that are expected.

    Raises:
        UserError: if one is missing or of another shape.
    """
    for key, wanted in expected.items():
        if key not in state:
            raise other_network(path, f"has no weights '{key}'")
        found = tuple(state[key].shape)
        if found != wanted:
            raise other_network(path, f"has weights '{key}' of shape {found}, where the network has {wanted}")


def width(state: dict[str, Tensor], key: str, divisor: int, path: Path) -> int:
    """Give the length of the bias that tells how many channels a network has at a place.

    Raises:
        UserError: if it is missing, no vector, or of a length that cannot be divided evenly.
    """
    (found,) = shape(state, key, 1, path)
    if not found or found % divisor:
        msg = f"has weights '{key}' of length {found}, where the network has a positive multiple of {divisor}"
        raise other_network(path, msg)
    return found
