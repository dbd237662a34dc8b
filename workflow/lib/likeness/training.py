"""Loss-agnostic, resumable training.

A training is a function of its seed: whatever happens in a step follows from ``(seed, step)`` alone, so that a run that
was interrupted and resumed from its last checkpoint ends like one that was not. Lightning Fabric places the model on
the device and runs it in the wanted precision; the loop is ours, because Lightning's resume restarts the loader.
"""

from __future__ import annotations

import copy
import io
import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from likeness.files import whole
from likeness.jobs import told_to_stop
from likeness.refusals import Refusal

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Precision = Literal["32-true", "bf16-mixed"]


class Point(NamedTuple):
    """One value of a learning curve."""

    step: int
    quantity: str
    value: float


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: number of updates.
        learning_rate: of Adam.
        validate_every: steps between validations; the last step is always validated.
        checkpoint_every: steps between checkpoints.
        patience: validations without improvement before the learning rate is multiplied by .1; 0 keeps it constant.
        annealing: let the learning rate fall linearly to zero over the last two fifths of the steps, for trainings too
            short to reach a plateau.
    """

    steps: int
    learning_rate: float
    validate_every: int
    checkpoint_every: int = 500
    patience: int = 0
    annealing: bool = False

    def factor(self, step: int) -> float:
        """Give what annealing multiplies the learning rate of a step by."""
        return min(1.0, 2.5 * (1 - step / self.steps)) if self.annealing else 1.0


@dataclass
class Outcome:
    """What a training left behind.

    Attributes:
        weights: state of the model with the lowest validation loss.
        curve: training and validation values by step.
        best_step: the step those weights are from.
        diverged_at: the step at which the loss ceased to be finite, or ``None``.
    """

    weights: dict[str, Tensor]
    curve: list[Point] = field(default_factory=list)
    best_step: int = 0
    diverged_at: int | None = None


class Processor:
    """Stands in for Fabric where there is nothing for it to do: one process, on the CPU, in single precision.

    To import Lightning takes as long as a short training.
    """

    device = torch.device("cpu")

    @staticmethod
    def autocast() -> AbstractContextManager[None]:
        """Change nothing."""
        return nullcontext()

    @staticmethod
    def backward(loss: Tensor) -> None:
        """Compute the gradients of a loss."""
        loss.backward()


def make_fabric(precision: Precision = "32-true", threads: int = 1) -> Fabric | Processor:
    """Set up one device, a GPU where there is one, and deterministic arithmetic on a fixed number of threads."""
    if make_device(threads).type == "cpu" and precision == "32-true":
        return Processor()
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import LightningEnvironment

    torch.backends.cudnn.benchmark = False
    # a job is one process, also where Lightning would find a cluster's scheduler and reckon with many
    return Fabric(accelerator="auto", devices=1, precision=precision, plugins=LightningEnvironment())


def make_device(threads: int = 1) -> torch.device:
    """Choose the device of :func:`make_fabric` for prediction, without the cost of importing Lightning."""
    torch.set_num_threads(threads)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def channels_last(dims: int) -> torch.memory_format:
    """Give the memory format in which convolutions of 2D or 3D images are fastest."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def seed_of(*key: int) -> int:
    """Turn a key, for example seed and step, into one seed."""
    return int(np.random.SeedSequence([abs(int(k)) for k in key]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(device: torch.device | str, *key: int) -> torch.Generator:
    """Give a source of randomness that is a function of ``key``, for example of seed and step."""
    return torch.Generator(device).manual_seed(seed_of(*key))


def shuffled(items: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Give the indices of the batch of a step: every epoch is a new permutation, a function of the seed.

    Batches run on over the end of an epoch, so that every item is seen equally often for any batch size.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {e: np.random.default_rng([seed, int(e)]).permutation(items) for e in np.unique(positions // items)}
    return np.array([epochs[p // items][p % items] for p in positions])


def save_weights(weights: dict[str, Tensor], path: str | Path) -> None:
    """Write weights as safetensors, whole or not at all."""
    from safetensors.torch import save

    with whole(path) as temporary:
        temporary.write_bytes(save({k: v.contiguous().cpu() for k, v in weights.items()}))


def load_weights(module: nn.Module, path: Path, source: Path) -> nn.Module:
    """Load weights that :func:`save_weights` wrote; nothing in the file is run.

    Args:
        module: of the architecture that the file beside the weights tells.
        path: the weights.
        source: the file or folder that a job made with them, for the message.

    Raises:
        Refusal: if the file is broken or its weights are of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except SafetensorError as error:
        msg = f"{path}: holds no weights ({error}); delete {source} and run again, so that it is made anew"
        raise Refusal(msg) from error
    except RuntimeError as error:
        msg = f"{path}: holds weights of another architecture than the study's; delete {source} and run again, so that "
        raise Refusal(msg + "it is made anew") from error
    return module


class Trainer:
    """Trains one model; resumes from its checkpoint if there is one.

    Args:
        fabric: device and precision, see :func:`make_fabric`.
        schedule: how long and how fast.
        checkpoint: file for the state of an unfinished training; it is removed by the caller when the results are safe.
        label: shown by the progress bar.
        seed: with the step, decides what layers like dropout draw.
        saved: called whenever a checkpoint was written.
    """

    def __init__(
        self,
        fabric: Fabric | Processor,
        schedule: Schedule,
        checkpoint: Path,
        label: str,
        seed: int = 0,
        saved: Callable[[], object] = lambda: None,
    ) -> None:
        self.fabric = fabric
        self.schedule = schedule
        self.checkpoint = checkpoint
        self.label = label
        self.seed = seed
        self.saved = saved

    def fit(
        self,
        model: nn.Module,
        step: Callable[[int], dict[str, Tensor]],
        validate: Callable[[], dict[str, float]],
    ) -> Outcome:
        """Minimise ``step(index)["loss"]`` over the parameters of ``model``.

        Args:
            model: already on the device; ``step`` and ``validate`` use it.
            step: gives the values of one training step, a function of the index; ``loss`` is minimised.
            validate: gives the values on the validation pairs; the lowest ``loss`` decides which weights are kept.

        Raises:
            SystemExit: if the process is told to stop (SIGTERM), after the step is done and the checkpoint written.
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
        steps = range(first, self.schedule.steps)
        bar = tqdm(steps, self.label, initial=first, total=self.schedule.steps, disable=None)
        for index in bar:
            optimiser.param_groups[0]["lr"] = rate * self.schedule.factor(index)
            # dropout draws from the global source, which a resumed process would find elsewhere
            torch.manual_seed(seed_of(self.seed, index))
            values = self._update(model, optimiser, step, index)
            if values is None:
                outcome.diverged_at = index
                break
            done = index + 1
            if done % self.schedule.validate_every == 0 or done == self.schedule.steps:
                outcome.curve += [Point(done, f"train_{k}", v) for k, v in values.items()]
                current = self._validate(model, validate, outcome, done)
                stale = 0 if current < best else stale + 1
                if current < best:
                    best, outcome.best_step = current, done
                    outcome.weights = copy.deepcopy(model.state_dict())
                if self.schedule.patience and stale >= self.schedule.patience:
                    stale, rate = 0, rate * 0.1
            if (stop.is_set() or done % self.schedule.checkpoint_every == 0) and done < self.schedule.steps:
                self._save(model, optimiser, outcome, done, best, stale, rate)
                if stop.is_set():
                    msg = f"{self.label}: told to stop; step {done} is saved, the next run goes on from there"
                    raise SystemExit(msg)
        return outcome

    def _update(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, step: Callable[[int], dict[str, Tensor]], index: int
    ) -> dict[str, float] | None:
        """Make one update; ``None`` where the loss or a gradient is not finite."""
        model.train()
        optimiser.zero_grad(set_to_none=True)
        with self.fabric.autocast():
            values = step(index)
        if not torch.isfinite(values["loss"]):
            return None
        self.fabric.backward(values["loss"])
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if not torch.isfinite(norm):
            return None
        optimiser.step()
        return {k: float(v.detach()) for k, v in values.items()}

    def _validate(
        self, model: nn.Module, validate: Callable[[], dict[str, float]], outcome: Outcome, done: int
    ) -> float:
        model.eval()
        with torch.no_grad(), self.fabric.autocast():
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
        # in memory first: on a full disk torch ends with an error of its own that does not say so
        content = io.BytesIO()
        torch.save(state, content)
        with whole(self.checkpoint) as path:
            path.write_bytes(content.getbuffer())
        self.saved()

    def _restore(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, outcome: Outcome
    ) -> tuple[int, float, int, float]:
        try:
            # only weights: nothing in the file is run
            state = torch.load(self.checkpoint, map_location=self.fabric.device, weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            outcome.weights = state["weights"]
            outcome.curve = [Point(*p) for p in state["curve"]]
            outcome.best_step = state["best_step"]
            first, best, stale, rate = state["progress"]
            return int(first), float(best), int(stale), float(rate)
        except (OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a broken file raises whatever it leads the reader to do
            msg = f"{self.checkpoint}: is no checkpoint of this training ({type(error).__name__}); "
            raise Refusal(msg + "delete it and run again, the training then starts anew") from error
