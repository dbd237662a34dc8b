"""Registration networks, found by name.

A module ``networks/<name>.py`` has a literal ``CARD`` with ``title`` and ``settings``, see
:mod:`likeness.methods.kinds`, and a function ``build(shape, **settings)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.userinput import cards

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """List all registration networks."""
    return cards.names(FOLDER)


def build(name: str, shape: Sequence[int], **options: Any) -> nn.Module:
    """Build a registration network, which maps moving and fixed images to a displacement in voxels.

    Args:
        name: name of the network.
        shape: spatial shape of the images.
        options: settings of the network.

    Raises:
        ValueError: if there is no network of that name.
    """
    if name not in names():
        msg = f"there is no network '{name}'; use one of {', '.join(names())}"
        raise ValueError(msg)
    return import_module(f"likeness.networks.{name}").build(shape, **options)
