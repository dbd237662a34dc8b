"""Device, floating-point precision and memory format of models."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]


def make_device(threads: int = 1) -> torch.device:
    """Select a device, a GPU if available, with deterministic arithmetic and a fixed number of CPU threads."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return a context for the given precision; ``"bf16-mixed"`` is bfloat16 autocast."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def channels_last(dims: int) -> torch.memory_format:
    """Return the memory format in which convolutions of 2D or 3D images are fastest."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d
