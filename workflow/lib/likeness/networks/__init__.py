"""Registration networks, found by name.

A module ``networks/<name>.py`` states a literal ``CARD``, the card of a method, see :mod:`likeness.methods.kinds`, and
has ``build(shape, **settings)``.
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
    """Name every registration network."""
    return cards.names(FOLDER)


def build(name: str, shape: Sequence[int], **options: Any) -> nn.Module:
    """Build a registration network for images of spatial ``shape``; it maps (moving, fixed) to a displacement.

    Raises:
        ValueError: if there is no network of that name.
    """
    if name not in names():
        msg = f"there is no network '{name}'; use one of {', '.join(names())}"
        raise ValueError(msg)
    return import_module(f"likeness.networks.{name}").build(shape, **options)
