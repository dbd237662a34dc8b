"""How far a long loop is, for a person at a terminal; a log is told nothing."""

from __future__ import annotations

from tqdm import tqdm


def bar(first: int, steps: int, label: str) -> tqdm:
    """Show a progress bar, of which some steps are done already; ``update()`` counts one more."""
    return tqdm(desc=label, initial=first, total=steps, disable=None)


def label(*parts: object) -> str:
    """Name a loop by what it is about."""
    return " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
