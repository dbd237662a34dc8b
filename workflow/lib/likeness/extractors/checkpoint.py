"""Safe reading of published weights, and checks that they match the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from likeness.userinput.errors import UserError, other_network


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors from a file written by ``torch.save``, without executing code in it.

    Returns:
        The tensors by name; floating-point ones in float32.

    Raises:
        UserError: if the file contains anything else, or values that are not finite.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise  # a problem of the machine rather than of the file
    except Exception as error:  # any other content is interpreted as instructions, which can raise any error
        msg = f"{path}: contains no weights that can be read safely ({type(error).__name__}); fetch it again"
        raise UserError(msg) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        msg = f"{path}: is not a dictionary of tensors; fetch it again"
        raise UserError(msg)
    found = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    if (key := next((key for key, value in found.items() if not value.isfinite().all()), None)) is not None:
        msg = f"{path}: has non-finite weights '{key}'; fetch it again"
        raise UserError(msg)
    return found


def take(state: dict[str, Tensor], keys: Iterable[str], path: Path) -> dict[str, Tensor]:
    """Select entries of a state dictionary.

    Raises:
        UserError: if one is missing.
    """
    keys = list(keys)
    missing = next((key for key in keys if key not in state), None)
    if missing is not None:
        raise other_network(path, f"has no weights '{missing}'")
    return {key: state[key] for key in keys}


def shape(state: dict[str, Tensor], key: str, dims: int, path: Path) -> tuple[int, ...]:
    """Return the shape of weights from which the configuration of a network follows.

    Raises:
        UserError: if they are missing or have another number of axes than ``dims``.
    """
    found = state.get(key)
    if found is None or found.dim() != dims:
        msg = f"has no weights '{key}'" if found is None else f"has weights '{key}' of {found.dim()} axes, not {dims}"
        raise other_network(path, msg)
    return tuple(found.shape)


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights of a network, without allocating memory for them."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build().state_dict().items()}


def check(state: dict[str, Tensor], build: Callable[[], nn.Module], path: Path) -> None:
    """Check that weights have exactly the names and shapes of a network.

    Raises:
        UserError: if one is missing, unexpected or of another shape.
    """
    expected = shapes(build)
    compare(state, expected, path)
    if (key := next((key for key in state if key not in expected), None)) is not None:
        raise other_network(path, f"has weights '{key}', which the network does not have")


def compare(state: dict[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Check that weights have the expected shapes; further weights are allowed.

    Raises:
        UserError: if one is missing or of another shape.
    """
    for key, wanted in expected.items():
        if key not in state:
            raise other_network(path, f"has no weights '{key}'")
        found = tuple(state[key].shape)
        if found != wanted:
            raise other_network(path, f"has weights '{key}' of shape {found}, but the network needs {wanted}")


def width(state: dict[str, Tensor], key: str, divisor: int, path: Path) -> int:
    """Return the length of a bias, from which the number of channels of a layer follows.

    Raises:
        UserError: if it is missing, not a vector, or of a length that is not a positive multiple of ``divisor``.
    """
    (found,) = shape(state, key, 1, path)
    if not found or found % divisor:
        msg = f"has weights '{key}' of length {found}, but the network needs a positive multiple of {divisor}"
        raise other_network(path, msg)
    return found
