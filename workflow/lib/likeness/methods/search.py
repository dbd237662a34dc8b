"""The search for the parameters that minimise an objective: many pairs at once, each until it has converged.

It is the same for every loss. A step goes along the momentum of the gradient, whose root mean square over the recent
past scales it: Adam (Kingma & Ba, 2015, arXiv:1412.6980) with one second moment for all parameters of a pair, so that
smooth gradients make smooth steps, and without its epsilon, so that the same objective in other units takes the same
steps. A pair that goes to and fro takes shorter steps; one that was slowed down too early takes longer ones again.
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
"""Decay rates of the means of the gradient and of its square."""
WINDOW = 20
"""Evaluations over which the change of a field is measured; convergence is tested after every half of them."""
STRIDE = 5
"""Evaluations between two tests of whether a search has stalled, a part of :data:`WINDOW`."""
STALLED = 0.02
"""An objective that falls by less than this share of its fall so far, from one stride to the next, has stalled."""
SHORTER = 0.7
"""Share of its step that a pair keeps that has stalled by going to and fro; one that goes on and on gets it back."""
TO_AND_FRO, ON_AND_ON = 0.2, 0.5
"""Cosine between gradients and the momentum before them, over a stride, below or above which a pair does so."""
QUANTILE = 0.99
"""Of the positions of a field, whose change decides whether it has converged."""


class Evaluated(NamedTuple):
    """What an objective gives for the parameters of some pairs."""

    loss: Tensor
    """``(pairs,)``, what is minimised."""
    gradient: Tensor
    """With respect to the parameters, in their shape."""
    displacement: Tensor
    """``(pairs, dims, *spatial)``, voxels."""
    dissimilarity: Tensor
    """``(pairs,)``."""
    energy: Tensor
    """``(pairs,)``, of the regulariser, before λ."""


Evaluate = Callable[[Tensor], Evaluated]
"""Evaluates the objective of the active pairs at their parameters."""
Watch = Callable[[Sequence[int], int, Tensor, Evaluated], None]
"""Is told, after every half window, which pairs are active, after how many evaluations, their parameters at the last
one, and what it gave."""


@dataclass(frozen=True)
class Effort:
    """How a search goes on and when it ends.

    Attributes:
        rate: root mean square of the first steps, in voxels of the parameters.
        tolerance: a pair has converged where 99 % of its field changed by less, in voxels, over :data:`WINDOW`
            evaluations.
        cap: most evaluations of a pair.
    """

    rate: float
    tolerance: float
    cap: int


@dataclass
class Found:
    """Where a search ended: one entry per pair, parameters ``(pairs, dims, *control)``."""

    parameters: Tensor
    """NaN where the objective ceased to be finite."""
    evaluations: list[int]
    converged: list[bool]
    dissimilarity: list[float]
    energy: list[float]

    @classmethod
    def nothing(cls, start: Tensor) -> Found:
        """Make one that is yet to be filled."""
        count, nan = len(start), float("nan")
        return cls(torch.full_like(start, nan), [0] * count, [False] * count, [nan] * count, [nan] * count)

    def arrays(self) -> dict[str, np.ndarray]:
        """Give it as arrays, exactly."""
        others = {key: np.asarray(value) for key, value in vars(self).items() if key != "parameters"}
        return {"parameters": self.parameters.cpu().numpy(), **others}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device) -> Found:
        """Make one of what :meth:`arrays` gave."""
        parameters = torch.from_numpy(arrays["parameters"]).to(device)
        return cls(parameters, *(arrays[key.name].tolist() for key in fields(cls)[1:]))

    def save(self, path: Path) -> None:
        """Write it as arrays, exactly."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Found:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: if the file is broken.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls.of_arrays(arrays, device)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise made_anew(path, f"is broken ({error})", path.parent) from error


class Checkpoint:
    """Keeps a search that takes long, so that an interrupted one goes on where it was.

    Args:
        path: of the file, written whole or not at all.
        urgent: tells whether to write at once, because the process is to end.
        written: called whenever it was written.
    """

    SECONDS = 300.0
    """How long a search may go on unkept."""

    def __init__(self, path: Path, urgent: Callable[[], bool], written: Callable[[], object]) -> None:
        self.path = path
        self.urgent = urgent
        self.written = written
        self.last = monotonic()

    def due(self) -> bool:
        """Tell whether it is time to write."""
        return self.urgent() or monotonic() - self.last > self.SECONDS

    def write(self, active: Sequence[int], found: Found, state: _State) -> None:
        """Keep which pairs are active, what was found of the others, and the state of the search."""
        arrays = {f"found.{key}": np.asarray(value) for key, value in found.arrays().items()}
        arrays |= {f"state.{key}": value for key, value in state.arrays().items()}
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, active=np.asarray(active, np.int64), **arrays)
        self.last = monotonic()
        self.written()

    def read(self, start: Tensor, rate: float) -> tuple[list[int], Found, _State] | None:
        """Read what was kept, ``None`` where nothing was.

        Raises:
            UserError: if the file is broken.
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
            raise made_anew(self.path, f"is broken ({error})", self.path.parent) from error

    def drop(self) -> None:
        """Delete the file of a search that has ended."""
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
        objective: gives, for the indices of pairs, what evaluates them; called anew whenever pairs have ended, so that
            nobody waits for them.
        start: parameters ``(pairs, dims, *control)``.
        effort: how long and how fast.
        watch: sees how far the search has come.
        checkpoint: where the search goes on from, and is kept.
    """
    kept = checkpoint.read(start, effort.rate) if checkpoint else None
    if kept is None:
        # of what diverged before nothing can be evaluated
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
"""The tensors of a state that decide how a search goes on."""
FILED = ("found", "state")
"""What a checkpoint has, the first part of the names of its arrays."""


class _State:
    """What the search of some pairs knows; tensors have them first."""

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
        """Mean objective of the last stride, sum of this one's so far."""
        self.products = torch.zeros(3, count, dtype=torch.float64)
        """Of gradient and momentum over this stride so far: with each other, and each with itself."""
        self.converged = torch.zeros(count, dtype=torch.bool)
        self.shown: list[Tensor] = []
        """Displacements at the ends of the last two half windows."""
        self.at: tuple[Tensor, Evaluated]
        """Parameters of the last evaluation, and what it gave."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Give everything that decides how the search goes on, as arrays."""
        tensors = {name: getattr(self, name).cpu().numpy() for name in KEPT}
        shown = {f"shown{k}": displacement.cpu().numpy() for k, displacement in enumerate(self.shown)}
        return {**tensors, **shown, "evaluations": np.asarray(self.evaluations)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what :meth:`arrays` gave."""
        device = self.parameters.device
        for name in KEPT:
            tensor = torch.from_numpy(arrays[name])
            setattr(self, name, tensor.to(device) if name in ("parameters", "momentum") else tensor)
        shown = sorted(name for name in arrays if name.startswith("shown"))
        self.shown = [torch.from_numpy(arrays[name]).to(device) for name in shown]
        self.evaluations = int(arrays["evaluations"])

    def take(self, seen: Evaluated, effort: Effort) -> Tensor | None:
        """Make a step by what was seen; tell which pairs have ended, ``None`` where none has."""
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
        """Change the steps by what the last stride was like."""
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
            # a norm over so short an axis takes ten times as long
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
        # where nothing pulls, nothing moves
        scale = torch.where(root > 0, self.step / root, 0.0) / (1 - MOMENTUM**self.evaluations)
        self.parameters = self.parameters - per_pair(scale, gradient) * self.momentum

    def record(self, found: Found, pair: int, place: int) -> None:
        """Write down where a pair is."""
        parameters, seen = self.at
        found.evaluations[pair] = self.evaluations
        found.converged[pair] = bool(self.converged[place])
        found.dissimilarity[pair] = float(seen.dissimilarity[place])
        found.energy[pair] = float(seen.energy[place])
        if torch.isfinite(seen.loss[place]) and torch.isfinite(seen.gradient[place]).all():
            found.parameters[pair] = parameters[place]

    def keep(self, places: Tensor) -> None:
        """Keep some of the pairs."""
        for name in ("step", "square", "first", "converged"):
            setattr(self, name, getattr(self, name)[places])
        self.strides, self.products = self.strides[:, places], self.products[:, places]
        places = places.to(self.parameters.device)
        self.parameters, self.momentum = self.parameters[places], self.momentum[places]
        self.shown = [displacement[places] for displacement in self.shown]


def per_pair(values: Tensor, like: Tensor) -> Tensor:
    """Give values ``(pairs,)`` a shape in which they multiply ``like``, ``(pairs, ...)``."""
    return values.to(like).view(-1, *[1] * (like.dim() - 1))
