"""Progress bars for terminals; nothing is written to logs."""

from __future__ import annotations

from tqdm import tqdm


def bar(first: int, steps: int, label: str) -> tqdm:
    """Show a progress bar that starts at step ``first``; ``update()`` advances it by one."""
    return tqdm(desc=label, initial=first, total=steps, disable=None)


def label(*parts: object) -> str:
    """Create the label of a progress bar from parts."""
    return " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
