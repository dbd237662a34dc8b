"""Reading files of weights that others published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from likeness.extractors.layout import other_network
from likeness.refusals import Refusal


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors, in float32, from a file that ``torch.save`` wrote; no code in it is run.

    Raises:
        Refusal: if it is anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise  # of the machine, not of the file
    except Exception as error:  # a text is taken for instructions, which end in an error of any kind
        msg = f"{path}: holds no weights that can be read safely ({type(error).__name__}); fetch it again"
        raise Refusal(msg) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        msg = f"{path}: holds no dictionary of tensors; fetch it again"
        raise Refusal(msg)
    found = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    if (key := next((key for key, value in found.items() if not value.isfinite().all()), None)) is not None:
        msg = f"{path}: has weights '{key}' that are not finite; fetch it again"
        raise Refusal(msg)
    return found


def take(state: dict[str, Tensor], keys: Iterable[str], path: Path) -> dict[str, Tensor]:
    """Take some entries of what was read.

    Raises:
        Refusal: if one is not there.
    """
    keys = list(keys)
    missing = next((key for key in keys if key not in state), None)
    if missing is not None:
        raise Refusal(other_network(path, f"has no weights '{missing}'"))
    return {key: state[key] for key in keys}
