"""Where a model runs, and how exactly: the device, the precision, the layout of its tensors in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]


def make_device(threads: int = 1) -> torch.device:
    """Choose one device, a GPU where there is one, and deterministic arithmetic on a fixed number of threads."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Run a block in the wanted precision: ``"bf16-mixed"`` computes what may be so in bfloat16."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def channels_last(dims: int) -> torch.memory_format:
    """Give the memory format in which convolutions of 2D or 3D images are fastest."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d
