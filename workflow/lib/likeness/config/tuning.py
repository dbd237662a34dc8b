"""Trials of the options of losses: variants that a study with ``tune`` draws, the same number for every loss."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from likeness import losses

TRIAL = "trial_"
"""Prefix of the names of drawn variants; no variant of a configuration has a name with ``_``."""


def space(loss: str, tune: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values to try of each option of a loss: those of the study, or else those of the loss's card."""
    return tune["space"].get(loss, losses.ranges(loss))


def size(ranges: Mapping[str, Sequence[Any]]) -> int:
    """Return the number of combinations of values."""
    return math.prod(map(len, ranges.values()))


def trials(loss: str, options: Mapping[str, Any], tune: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Draw variants of a loss.

    The draw depends on the seed and the loss only, so that the trials of a loss do not change with other losses.

    Args:
        loss: name of the loss.
        options: options of the variant ``default`` as stated in the study.
        tune: the block ``tune``.

    Returns:
        The options of ``trial_1``, ``trial_2``, …: ``tune["trials"]`` combinations that differ from the variant
        ``default`` and from one another; all combinations if there are no more.
    """
    ranges = space(loss, tune)
    default = losses.completed(loss, options)
    found: list[dict[str, Any]] = []
    for values in product(*ranges.values()):
        chosen = _effective(loss, default, dict(zip(ranges, values, strict=True)))
        if chosen not in found and {**default, **chosen} != default:
            found.append(chosen)
    drawn = random.Random(f"{tune['seed']} {loss}").sample(found, min(tune["trials"], len(found)))
    return {f"{TRIAL}{number}": chosen for number, chosen in enumerate(drawn, start=1)}


def is_trial(variant: str) -> bool:
    """Return whether a variant was drawn."""
    return variant.startswith(TRIAL)


def _effective(loss: str, default: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that have no effect given the others."""
    limits, full = losses.limits(loss), {**default, **chosen}
    return {
        option: value
        for option, value in chosen.items()
        if all(full[partner] == wanted for partner, wanted in limits.get(option, {}).get("with", {}).items())
    }
