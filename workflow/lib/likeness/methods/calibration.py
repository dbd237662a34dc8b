"""Search for the λ that yields fields of a given roughness, on logarithmic scales of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, log

CLOSE = 0.08
"""Relative deviation of the roughness at which the search ends."""
NEAR = 0.1
"""Relative deviation of the roughness that is accepted if nothing closer was found."""
TRIALS = 7
FIRST = 2.0
"""Multiple of λ₀ that is tried first without prior knowledge."""
WEAKEST, STRONGEST = 1e-4, 1e4
"""Bounds on the multiples of λ₀."""
SLOPE = -0.6
"""Assumed slope of log roughness over log λ until two values are known."""
LEAP = log(20)
"""Maximum distance in log λ between the next value and those already tried."""


@dataclass
class Calibration:
    """Search for the multiple of λ₀ whose fields have the wanted roughness.

    The caller evaluates each :meth:`proposal` and appends it to ``tried``; the best trial is :attr:`best`.
    """

    wanted: float
    known: list[tuple[float, float]] = field(default_factory=list)
    """Multiples of λ₀ and their roughness from other starts; used for initial guesses only."""
    tried: list[tuple[float, float]] = field(default_factory=list)
    """Multiples of λ₀ and their roughness from this start."""

    def proposal(self) -> float | None:
        """Return the next multiple to try, rounded to three digits; ``None`` if the search has ended."""
        if not self.tried and not self.known:
            return FIRST
        if self.tried and (self.distance(len(self.tried) - 1) < CLOSE or len(self.tried) >= TRIALS):
            return None
        found = float(f"{exp(self._guess()):.3g}")
        found = min(max(found, WEAKEST), STRONGEST)
        return None if any(found == multiple for multiple, _ in self.tried) else found

    def _guess(self) -> float:
        """Interpolate between the two closest trials around the wanted roughness, or extrapolate; returns log λ."""
        target = log(self.wanted)
        pairs = [pair for pair in (*self.known, *self.tried) if isfinite(pair[1])]
        points = sorted((log(multiple), log(max(rough, 1e-6))) for multiple, rough in pairs)
        if not points:
            return log(self.tried[-1][0]) + LEAP
        smooth = [p for p in points if p[1] <= target]
        rough = [p for p in points if p[1] > target]
        if smooth and rough:
            (x0, y0), (x1, y1) = min(smooth), max(rough)
            share = min(max((target - y0) / (y1 - y0), 0.1), 0.9)
            return x0 + share * (x1 - x0)
        x, y = min(smooth) if smooth else max(rough)
        slope = SLOPE
        if len(points) > 1:
            (xa, ya), (xb, yb) = points[:2] if smooth else points[-2:]
            slope = min((yb - ya) / (xb - xa), -0.2)
        return x + min(max((target - y) / slope, -LEAP), LEAP)

    def distance(self, trial: int) -> float:
        """Return the absolute difference in log roughness between a trial and the wanted value."""
        rough = self.tried[trial][1]
        return abs(log(max(rough, 1e-6) / self.wanted)) if isfinite(rough) else float("inf")

    @property
    def best(self) -> int:
        """Index of the closest trial."""
        return min(range(len(self.tried)), key=self.distance)

    @property
    def exhausted(self) -> bool:
        """Whether no trial was at least as rough as wanted."""
        return not self.attained and not any(rough >= self.wanted for _, rough in self.tried)

    @property
    def attained(self) -> bool:
        """Whether the closest trial is close enough."""
        return self.distance(self.best) < NEAR
