"""Minimise an objective over the parameters of many pairs at once, each until it has converged.

The optimiser is the same for every loss: Adam (Kingma and Ba, 2015, arXiv:1412.6980) with two changes. All parameters
of a pair share one second moment, so that smooth gradients give smooth steps; and there is no epsilon, so that the
steps do not depend on the unit of the objective. The step size of a pair decreases when it oscillates, and increases
again when it was reduced too early.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from likeness.runtime.atomic import atomic_write
from likeness.userinput.errors import made_anew

MOMENTUM = 0.9
MEMORY = 0.99
"""Decay rates of the running means of the gradient and of its square."""
WINDOW = 20
"""Evaluations over which the change of a field is measured; convergence is tested every half window."""
STRIDE = 5
"""Evaluations between two tests for stalling; a divisor of :data:`WINDOW`."""
STALLED = 0.02
"""A search has stalled if the objective decreases by less than this fraction of its total decrease in one stride."""
SHORTER = 0.7
"""Factor on the step size of pairs that stall while oscillating; its inverse applies to steadily moving pairs."""
TO_AND_FRO, ON_AND_ON = 0.2, 0.5
"""Thresholds on the cosine between gradients and preceding momentum, over a stride, for oscillation and steady
motion."""
QUANTILE = 0.99
"""Quantile of the change over a field's positions that must fall below the tolerance."""


class Evaluated(NamedTuple):
    """Values of an objective at the parameters of some pairs."""

    loss: Tensor
    """The objective, ``(pairs,)``."""
    gradient: Tensor
    """Gradient with respect to the parameters, in their shape."""
    displacement: Tensor
    """``(pairs, dims, *spatial)``, in voxels."""
    dissimilarity: Tensor
    """``(pairs,)``."""
    energy: Tensor
    """Energy of the regulariser without λ, ``(pairs,)``."""


Evaluate = Callable[[Tensor], Evaluated]
"""Function that evaluates the objective of the active pairs at their parameters."""
Watch = Callable[[Sequence[int], int, Tensor, Evaluated], None]
"""Callback after every half window; receives the active pairs, the number of evaluations, the parameters at the last
evaluation, and its result."""


@dataclass(frozen=True)
class Effort:
    """Step size and stopping criteria of a search.

    Attributes:
        rate: root mean square of the first steps, in voxels.
        tolerance: convergence threshold: 99 % of a field changed by less, in voxels, over :data:`WINDOW` evaluations.
        cap: maximum number of evaluations per pair.
    """

    rate: float
    tolerance: float
    cap: int


@dataclass
class Found:
    """Result of a search: one entry per pair, parameters ``(pairs, dims, *control)``."""

    parameters: Tensor
    """NaN where the objective became non-finite."""
    evaluations: list[int]
    converged: list[bool]
    dissimilarity: list[float]
    energy: list[float]

    @classmethod
    def nothing(cls, start: Tensor) -> Found:
        """Create an empty result, to be filled."""
        count, nan = len(start), float("nan")
        return cls(torch.full_like(start, nan), [0] * count, [False] * count, [nan] * count, [nan] * count)

    def arrays(self) -> dict[str, np.ndarray]:
        """Convert to NumPy arrays without loss of precision."""
        others = {key: np.asarray(value) for key, value in vars(self).items() if key != "parameters"}
        return {"parameters": self.parameters.cpu().numpy(), **others}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device) -> Found:
        """Restore from the result of :meth:`arrays`."""
        parameters = torch.from_numpy(arrays["parameters"]).to(device)
        return cls(parameters, *(arrays[key.name].tolist() for key in fields(cls)[1:]))

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file without loss of precision."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Found:
        """Read a file written by :meth:`save`.

        Raises:
            UserError: if the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls.of_arrays(arrays, device)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"is damaged ({error})", path.parent) from error


class Checkpoint:
    """Saved state of a long search, from which an interrupted one resumes.

    Args:
        path: checkpoint file, written atomically.
        urgent: returns whether to write immediately because the process is about to end.
        written: called whenever the file was written.
    """

    SECONDS = 300.0
    """Interval between checkpoints in seconds."""

    def __init__(self, path: Path, urgent: Callable[[], bool], written: Callable[[], object]) -> None:
        self.path = path
        self.urgent = urgent
        self.written = written
        self.last = monotonic()

    def due(self) -> bool:
        """Return whether it is time to write a checkpoint."""
        return self.urgent() or monotonic() - self.last > self.SECONDS

    def write(self, active: Sequence[int], found: Found, state: _State) -> None:
        """Save the active pairs, the results of the others, and the state of the search."""
        arrays = {f"found.{key}": np.asarray(value) for key, value in found.arrays().items()}
        arrays |= {f"state.{key}": value for key, value in state.arrays().items()}
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, active=np.asarray(active, np.int64), **arrays)
        self.last = monotonic()
        self.written()

    def read(self, start: Tensor, rate: float) -> tuple[list[int], Found, _State] | None:
        """Load the saved state; ``None`` if there is none.

        Raises:
            UserError: if the file is damaged.
        """
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                parts = {key: file[key] for key in file.files}
            active = parts.pop("active").tolist()
            of = {kind: {k.partition(".")[2]: v for k, v in parts.items() if k.startswith(kind)} for kind in FILED}
            state = _State(start[active], rate)
            state.restore(of["state"])
            return active, Found.of_arrays(of["found"], start.device), state
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(self.path, f"is damaged ({error})", self.path.parent) from error

    def drop(self) -> None:
        """Delete the file after the search has ended."""
        self.path.unlink(missing_ok=True)


def minimise(
    objective: Callable[[Sequence[int]], Evaluate],
    start: Tensor,
    effort: Effort,
    watch: Watch | None = None,
    checkpoint: Checkpoint | None = None,
) -> Found:
    """Minimise the objective of every pair over its parameters.

    Args:
        objective: returns a function that evaluates the pairs with the given indices; called again whenever pairs have
            ended, so that the others do not wait for them.
        start: initial parameters ``(pairs, dims, *control)``.
        effort: step size and stopping criteria.
        watch: callback that observes the search.
        checkpoint: state to resume from and to save to.

    Returns:
        The result; parameters are NaN for pairs whose objective was not finite.
    """
    kept = checkpoint.read(start, effort.rate) if checkpoint else None
    if kept is None:
        # pairs that diverged before cannot be evaluated
        active = start.flatten(1).isfinite().all(1).nonzero().flatten().tolist()
        kept = active, Found.nothing(start), _State(start[active], effort.rate)
    active, found, state = kept
    while active:
        evaluate, ended = objective(active), None
        while ended is None:
            seen = evaluate(state.parameters)
            ended = state.take(seen, effort)
            if watch and state.evaluations % (WINDOW // 2) == 0:
                watch(active, state.evaluations, state.at[0], seen)
            if checkpoint and ended is None and checkpoint.due():
                checkpoint.write(active, found, state)
        for place in ended.nonzero().flatten().tolist():
            state.record(found, active[place], place)
        left = (~ended).nonzero().flatten()
        active = [active[place] for place in left.tolist()]
        state.keep(left)
    return found


KEPT = ("parameters", "momentum", "step", "first", "square", "strides", "products", "converged")
"""Tensors that determine the further search."""
FILED = ("found", "state")
"""Parts of a checkpoint, which are prefixes of its array names."""


class _State:
    """State of the search for some pairs, which are the first dimension of the tensors."""

    def __init__(self, start: Tensor, rate: float) -> None:
        count = len(start)
        self.parameters = start.clone()
        self.evaluations = 0
        self.rate = rate
        self.step = torch.full((count,), rate, dtype=torch.float64)
        self.momentum = torch.zeros_like(start)
        self.first = torch.zeros(count, dtype=torch.float64)
        self.square = torch.zeros(count, dtype=torch.float64)
        self.strides = torch.zeros(2, count, dtype=torch.float64)
        """Mean objective of the last stride, and sum over the current one."""
        self.products = torch.zeros(3, count, dtype=torch.float64)
        """Products of gradient and momentum over the current stride: with each other, and each with itself."""
        self.converged = torch.zeros(count, dtype=torch.bool)
        self.shown: list[Tensor] = []
        """Displacements at the ends of the last two half windows."""
        self.at: tuple[Tensor, Evaluated]
        """Parameters and result of the last evaluation."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that determines the further search, as arrays."""
        tensors = {name: getattr(self, name).cpu().numpy() for name in KEPT}
        shown = {f"shown{k}": displacement.cpu().numpy() for k, displacement in enumerate(self.shown)}
        return {**tensors, **shown, "evaluations": np.asarray(self.evaluations)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore from the result of :meth:`arrays`."""
        device = self.parameters.device
        for name in KEPT:
            tensor = torch.from_numpy(arrays[name])
            setattr(self, name, tensor.to(device) if name in ("parameters", "momentum") else tensor)
        shown = sorted(name for name in arrays if name.startswith("shown"))
        self.shown = [torch.from_numpy(arrays[name]).to(device) for name in shown]
        self.evaluations = int(arrays["evaluations"])

    def take(self, seen: Evaluated, effort: Effort) -> Tensor | None:
        """Take a step; return which pairs have ended, ``(pairs,)``, or ``None`` if none has."""
        self.at = (self.parameters, seen)
        self.evaluations += 1
        loss = seen.loss.double().cpu()
        finite = torch.isfinite(loss) & torch.isfinite(seen.gradient.flatten(1).sum(1)).cpu()
        if self.evaluations == 1:
            self.first = loss
        self.strides[1] += loss
        if self.evaluations % STRIDE == 0:
            self._adapt()
        if self.evaluations % (WINDOW // 2) == 0:
            self._check_convergence(seen.displacement, effort.tolerance)
        ended = self.converged | ~finite | torch.tensor(self.evaluations >= effort.cap)
        self._move(seen.gradient)
        return ended if ended.any() else None

    def _adapt(self) -> None:
        """Adapt the step sizes to the last stride."""
        last, this = self.strides[0], self.strides[1] / STRIDE
        mixed, *own = self.products
        cosine = mixed / (own[0].sqrt() * own[1].sqrt()).clamp(min=torch.finfo(torch.float64).tiny)
        if self.evaluations > STRIDE:
            stalled = last - this < STALLED * (self.first - this).clamp(min=0)
            shorter = torch.where(stalled & (cosine < TO_AND_FRO), SHORTER * self.step, self.step)
            self.step = torch.where(cosine > ON_AND_ON, (self.step / SHORTER).clamp(max=self.rate), shorter)
        self.strides = torch.stack([this, torch.zeros_like(this)])
        self.products = torch.zeros_like(self.products)

    def _check_convergence(self, displacement: Tensor, tolerance: float) -> None:
        if len(self.shown) == 2:
            # torch.linalg.vector_norm takes ten times as long over such a short axis
            change = (displacement - self.shown[0]).square().sum(1).sqrt().flatten(1)
            rank = max(1, round(QUANTILE * change.shape[1]))
            self.converged = change.kthvalue(rank, dim=1).values.cpu() < tolerance
        self.shown = [*self.shown[-1:], displacement]

    def _move(self, gradient: Tensor) -> None:
        now, before = gradient.double().flatten(1), self.momentum.double().flatten(1)
        self.products += torch.stack([(now * before).sum(1), now.square().sum(1), before.square().sum(1)]).cpu()
        self.momentum = MOMENTUM * self.momentum + (1 - MOMENTUM) * gradient
        size = now.square().mean(1).cpu()
        self.square = MEMORY * self.square + (1 - MEMORY) * size
        root = (self.square / (1 - MEMORY**self.evaluations)).sqrt()
        # parameters without a gradient must not become NaN
        scale = torch.where(root > 0, self.step / root, 0.0) / (1 - MOMENTUM**self.evaluations)
        self.parameters = self.parameters - per_pair(scale, gradient) * self.momentum

    def record(self, found: Found, pair: int, place: int) -> None:
        """Record the result of a pair."""
        parameters, seen = self.at
        found.evaluations[pair] = self.evaluations
        found.converged[pair] = bool(self.converged[place])
        found.dissimilarity[pair] = float(seen.dissimilarity[place])
        found.energy[pair] = float(seen.energy[place])
        if torch.isfinite(seen.loss[place]) and torch.isfinite(seen.gradient[place]).all():
            found.parameters[pair] = parameters[place]

    def keep(self, places: Tensor) -> None:
        """Keep only the pairs at the given places."""
        for name in ("step", "square", "first", "converged"):
            setattr(self, name, getattr(self, name)[places])
        self.strides, self.products = self.strides[:, places], self.products[:, places]
        places = places.to(self.parameters.device)
        self.parameters, self.momentum = self.parameters[places], self.momentum[places]
        self.shown = [displacement[places] for displacement in self.shown]


def per_pair(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values ``(pairs,)`` for multiplication with ``like``, ``(pairs, ...)``."""
    return values.to(like).view(-1, *[1] * (like.dim() - 1))
