"""Weights on disk: written whole, read without running anything that is in the file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from likeness.runtime.atomic import atomic_write
from likeness.userinput.errors import made_anew


def save_weights(weights: dict[str, Tensor], path: str | Path) -> None:
    """Write weights as safetensors, whole or not at all."""
    from safetensors.torch import save

    with atomic_write(path) as temporary:
        temporary.write_bytes(save({k: v.contiguous().cpu() for k, v in weights.items()}))


def load_weights(module: nn.Module, path: Path, source: Path) -> nn.Module:
    """Load weights that :func:`save_weights` wrote; nothing in the file is run.

    Args:
        module: of the architecture that the file beside the weights tells.
        path: the weights.
        source: the file or folder that a job made with them, for the message.

    Raises:
        UserError: if the file is broken or its weights are of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise made_anew(path, f"holds no weights ({error})", source) from error
    except RuntimeError as error:
        raise made_anew(path, "holds weights of another architecture than the study's", source) from error
    return module
