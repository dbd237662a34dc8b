"""How far a long loop is, for a person at a terminal; a log is told nothing."""

from __future__ import annotations

from collections.abc import Iterable

from tqdm import tqdm


def followed(steps: range, label: str) -> Iterable[int]:
    """Show a bar while steps are gone through; those before the first of them count as done."""
    return tqdm(steps, label, initial=steps.start, total=steps.stop, disable=None)
