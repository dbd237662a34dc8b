"""Checks whether an extractor was trained sufficiently."""

from __future__ import annotations

import pandas as pd

LATE = 0.75
"""Fraction of the steps after which a training counts as late."""
SHARE = 0.05
"""Relative decrease of the validation loss in the late phase above which an extractor was still learning."""


LEAST = 0.5
"""Minimum relative reduction of the validation loss, compared with a prediction that ignores the image."""


def learnt_little(curve: pd.DataFrame) -> bool | None:
    """Return whether an extractor learnt less of its task than :data:`LEAST`.

    Args:
        curve: learning curve, see :func:`still_learning`; ``val_ignorance`` is the loss of a prediction that ignores
            the image.

    Returns:
        ``None`` for an untrained extractor.
    """
    best, ignorance = (curve.value[curve.quantity == name].min() for name in ("val_loss", "val_ignorance"))
    return None if pd.isna(best) or pd.isna(ignorance) else bool(best > (1 - LEAST) * ignorance)


def still_learning(curve: pd.DataFrame) -> bool | None:
    """Return whether an extractor was still learning when its training ended.

    Args:
        curve: learning curve with ``step``, ``quantity`` and ``value``; uses the quantity ``val_loss``.

    Returns:
        ``None`` for an untrained extractor.
    """
    losses = curve[curve.quantity == "val_loss"].sort_values("step")
    if not len(losses):
        return None
    early = losses.value[losses.step <= LATE * losses.step.max()]
    if not len(early):
        return True
    best = losses.value.min()
    return bool(early.min() - best > SHARE * abs(best))
