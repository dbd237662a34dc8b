"""Loss-agnostic, resumable training.

A training is a function of its seed: every step depends on ``(seed, step)`` only, so that a run that was interrupted
and resumed from its last checkpoint gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import copy
import io
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import told_to_stop
from likeness.runtime.progress import bar
from likeness.training.device import Precision, autocast
from likeness.training.randomness import seed_of
from likeness.userinput.errors import UserError


class Point(NamedTuple):
    """One value of a learning curve."""

    step: int
    quantity: str
    value: float


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    Attributes:
        steps: number of updates.
        learning_rate: learning rate of Adam.
        validate_every: steps between validations; the last step is always validated.
        checkpoint_every: steps between checkpoints.
        patience: validations without improvement before the learning rate is multiplied by .1; 0 keeps it constant.
        annealing: decay the learning rate linearly to zero over the last two fifths of the steps, for trainings too
            short to reach a plateau.
    """

    steps: int
    learning_rate: float
    validate_every: int
    checkpoint_every: int = 500
    patience: int = 0
    annealing: bool = False

    def factor(self, step: int) -> float:
        """Return the factor on the learning rate at a step, from annealing."""
        return min(1.0, 2.5 * (1 - step / self.steps)) if self.annealing else 1.0


@dataclass
class Outcome:
    """Result of a training.

    Attributes:
        weights: state of the model with the lowest validation loss.
        curve: training and validation values by step.
        best_step: step of these weights.
        diverged_at: step at which the loss became non-finite, or ``None``.
    """

    weights: dict[str, Tensor]
    curve: list[Point] = field(default_factory=list)
    best_step: int = 0
    diverged_at: int | None = None


class Trainer:
    """Train one model; resume from its checkpoint if there is one.

    Args:
        device: device of the model.
        schedule: length and learning rate.
        checkpoint: file for the state of an unfinished training; removed by the caller once the results are saved.
        label: label of the progress bar.
        seed: determines, with the step, the randomness of layers such as dropout.
        saved: called whenever a checkpoint was written.
        precision: floating-point precision of training and validation.
    """

    def __init__(
        self,
        device: torch.device,
        schedule: Schedule,
        checkpoint: Path,
        label: str,
        seed: int = 0,
        saved: Callable[[], object] = lambda: None,
        precision: Precision = "32-true",
    ) -> None:
        self.device = device
        self.schedule = schedule
        self.checkpoint = checkpoint
        self.label = label
        self.seed = seed
        self.saved = saved
        self.precision: Precision = precision

    def fit(
        self,
        model: nn.Module,
        step: Callable[[int], dict[str, Tensor]],
        validate: Callable[[], dict[str, float]],
    ) -> Outcome:
        """Minimise ``step(index)["loss"]`` over the parameters of ``model``.

        Args:
            model: model on the device, used by ``step`` and ``validate``.
            step: function that returns the values of a training step, given its index; ``loss`` is minimised.
            validate: function that returns the values on validation data; the weights with the lowest ``loss`` are
                kept.

        Returns:
            Weights and learning curve.

        Raises:
            SystemExit: on SIGTERM, after the current step has finished and the checkpoint has been written.
        """
        with told_to_stop() as stop:
            return self._fit(model, step, validate, stop)

    def _fit(
        self,
        model: nn.Module,
        step: Callable[[int], dict[str, Tensor]],
        validate: Callable[[], dict[str, float]],
        stop: threading.Event,
    ) -> Outcome:
        optimiser = torch.optim.Adam(model.parameters(), lr=self.schedule.learning_rate)
        outcome = Outcome(copy.deepcopy(model.state_dict()))
        best, stale, first, rate = math.inf, 0, 0, self.schedule.learning_rate
        if self.checkpoint.is_file():
            first, best, stale, rate = self._restore(model, optimiser, outcome)
        with bar(first, self.schedule.steps, self.label) as shown:
            for index in range(first, self.schedule.steps):
                optimiser.param_groups[0]["lr"] = rate * self.schedule.factor(index)
                # dropout uses the global generator, whose state a resumed process does not have
                torch.manual_seed(seed_of(self.seed, index))
                values = self._update(model, optimiser, step, index)
                if values is None:
                    outcome.diverged_at = index
                    break
                done = index + 1
                shown.update()
                if done % self.schedule.validate_every == 0 or done == self.schedule.steps:
                    outcome.curve += [Point(done, f"train_{k}", v) for k, v in values.items()]
                    current = self._validate(model, validate, outcome, done)
                    stale = 0 if current < best else stale + 1
                    if current < best:
                        best, outcome.best_step = current, done
                        outcome.weights = copy.deepcopy(model.state_dict())
                    if self.schedule.patience and stale >= self.schedule.patience:
                        stale, rate = 0, rate * 0.1
                due = done % self.schedule.checkpoint_every == 0 and done < self.schedule.steps
                # even after the last step: the workflow was stopped as well and discards results from now on
                if stop.is_set() or due:
                    self._save(model, optimiser, outcome, done, best, stale, rate)
                    if stop.is_set():
                        msg = f"{self.label}: told to stop; step {done} is saved, the next run will resume from there"
                        raise SystemExit(msg)
        return outcome

    def _update(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, step: Callable[[int], dict[str, Tensor]], index: int
    ) -> dict[str, float] | None:
        """Perform one update; returns ``None`` if the loss or a gradient is not finite."""
        model.train()
        optimiser.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            values = step(index)
        if not torch.isfinite(values["loss"]):
            return None
        values["loss"].backward()
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if not torch.isfinite(norm):
            return None
        optimiser.step()
        return {k: float(v.detach()) for k, v in values.items()}

    def _validate(
        self, model: nn.Module, validate: Callable[[], dict[str, float]], outcome: Outcome, done: int
    ) -> float:
        model.eval()
        with torch.no_grad(), autocast(self.device, self.precision):
            values = validate()
        outcome.curve += [Point(done, f"val_{k}", v) for k, v in values.items()]
        return values["loss"]

    def _save(self, model: nn.Module, optimiser: torch.optim.Optimizer, outcome: Outcome, *progress: Any) -> None:
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "weights": outcome.weights,
            "curve": [tuple(p) for p in outcome.curve],
            "best_step": outcome.best_step,
            "progress": progress,
        }
        # serialised in memory first, because torch.save raises an uninformative error on a full disk
        content = io.BytesIO()
        torch.save(state, content)
        with atomic_write(self.checkpoint) as path:
            path.write_bytes(content.getbuffer())
        self.saved()

    def _restore(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, outcome: Outcome
    ) -> tuple[int, float, int, float]:
        try:
            # weights_only prevents the execution of code in the file
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            outcome.weights = state["weights"]
            outcome.curve = [Point(*p) for p in state["curve"]]
            outcome.best_step = state["best_step"]
            first, best, stale, rate = state["progress"]
            return int(first), float(best), int(stale), float(rate)
        except (OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a damaged file can raise any error
            msg = f"{self.checkpoint}: is not a checkpoint of this training ({type(error).__name__}); "
            raise UserError(msg + "delete it and run again to restart the training") from error
