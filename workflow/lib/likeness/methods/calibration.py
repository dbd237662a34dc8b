"""The λ that makes fields as rough as wanted, on a logarithmic scale of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, log

CLOSE = 0.08
"""A roughness within this of the wanted one, relatively, is it."""
NEAR = 0.1
"""A roughness within this is taken where no better one was found."""
TRIALS = 7
FIRST = 2.0
"""The multiple of λ₀ that is tried first where nothing is known."""
WEAKEST, STRONGEST = 1e-4, 1e4
"""Multiples of λ₀ beyond which nothing is tried."""
SLOPE = -0.6
"""How log roughness goes with log λ, as long as only one of them was tried."""
LEAP = log(20)
"""How far the next λ may lie from all that were tried, as a logarithm."""


@dataclass
class Calibration:
    """The search for the multiple of λ₀ whose fields have the wanted roughness.

    Every multiple that was tried is recorded with the roughness that it gave; what fits best is kept.
    """

    wanted: float
    known: list[tuple[float, float]] = field(default_factory=list)
    """Multiples of λ₀ and the roughness that they gave from other starts: good for a guess."""
    tried: list[tuple[float, float]] = field(default_factory=list)
    """Multiples and the roughness that they gave from this start."""

    def proposal(self) -> float | None:
        """Give the multiple to try next, rounded to three digits; ``None`` where the search has ended."""
        if not self.tried and not self.known:
            return FIRST
        if self.tried and (self.distance(len(self.tried) - 1) < CLOSE or len(self.tried) >= TRIALS):
            return None
        found = float(f"{exp(self._guess()):.3g}")
        found = min(max(found, WEAKEST), STRONGEST)
        return None if any(found == multiple for multiple, _ in self.tried) else found

    def _guess(self) -> float:
        """Cut the line through the two tried ones that lie closest around the wanted roughness, or outside it."""
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
        """Give how far the roughness of a trial is from the wanted one, as a logarithm."""
        rough = self.tried[trial][1]
        return abs(log(max(rough, 1e-6) / self.wanted)) if isfinite(rough) else float("inf")

    @property
    def best(self) -> int:
        """The trial that comes closest."""
        return min(range(len(self.tried)), key=self.distance)

    @property
    def exhausted(self) -> bool:
        """Whether nothing that was tried is as rough as wanted."""
        return not self.attained and not any(rough >= self.wanted for _, rough in self.tried)

    @property
    def attained(self) -> bool:
        """Whether that is close enough."""
        return self.distance(self.best) < NEAR
