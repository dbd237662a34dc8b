"""Weights on disk: written atomically, and read without executing code in the file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from likeness.runtime.atomic import atomic_write
from likeness.userinput.errors import made_anew


def save_weights(weights: dict[str, Tensor], path: str | Path) -> None:
    """Write weights as safetensors, atomically."""
    from safetensors.torch import save

    with atomic_write(path) as temporary:
        temporary.write_bytes(save({k: v.contiguous().cpu() for k, v in weights.items()}))


def load_weights(module: nn.Module, path: Path, source: Path) -> nn.Module:
    """Load weights written by :func:`save_weights`, without executing code in the file.

    Args:
        module: network with the architecture described in the file next to the weights.
        path: weights file.
        source: file or folder with all results of the job that wrote it, for the message.

    Raises:
        UserError: if the file is damaged or its weights are of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise made_anew(path, f"contains no weights ({error})", source) from error
    except RuntimeError as error:
        raise made_anew(path, "contains weights of another architecture than the study's", source) from error
    return module
