"""Whether an extractor had learnt what it could when its training ended."""

from __future__ import annotations

import pandas as pd

LATE = 0.75
"""From this share of its steps on, a training is late."""
SHARE = 0.05
"""If its validation loss falls by more than this share of what it ends at while it is late, it was still learning."""


LEAST = 0.5
"""What an extractor has to have learnt of its task, as a share of what one loses that does not look at the image."""


def learnt_little(curve: pd.DataFrame) -> bool | None:
    """Tell whether an extractor had learnt less of its task than :data:`LEAST` in the end.

    Args:
        curve: of its training, see :func:`still_learning`; ``val_ignorance`` is what one loses that does not look.

    Returns:
        ``None`` of one that is not trained.
    """
    best, ignorance = (curve.value[curve.quantity == name].min() for name in ("val_loss", "val_ignorance"))
    return None if pd.isna(best) or pd.isna(ignorance) else bool(best > (1 - LEAST) * ignorance)


def still_learning(curve: pd.DataFrame) -> bool | None:
    """Tell whether an extractor was still learning when its training ended.

    Args:
        curve: of its training, ``step``, ``quantity`` and ``value``; the losses ``val_loss`` count.

    Returns:
        ``None`` of one that is not trained.
    """
    losses = curve[curve.quantity == "val_loss"].sort_values("step")
    if not len(losses):
        return None
    early = losses.value[losses.step <= LATE * losses.step.max()]
    if not len(early):
        return True
    best = losses.value.min()
    return bool(early.min() - best > SHARE * abs(best))
