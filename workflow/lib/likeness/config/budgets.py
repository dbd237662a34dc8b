"""Models of the configuration blocks that a dataset may override: training, optimisation, pretraining, landscape."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainSerializer

from likeness.config.values import Block, Channels, Grid, Names, Number, rising

Steps = Annotated[int, Field(ge=1, le=100_000_000)]
Batch = Annotated[int, Field(ge=1, le=4096)]
LearningRate = Annotated[Number, Field(gt=0, le=1)]
Precision = Literal["32-true", "bf16-mixed"]
Norm = Literal["batch", "none"]


class Lambda(Block):
    """The regularisation weight λ."""

    scale: Literal["balanced", "raw"] = "balanced"
    """Scale of the grid. `balanced`: λ = λ₀ · s, where λ₀ equalises the gradient norms of dissimilarity and regulariser
    and s is a value of the grid; `raw`: λ is a value of the grid, as in published protocols."""
    grid: Grid | None = None
    """Values to try for every loss, instead of those on its card."""


class Path(Block):
    """The regularisation path, from smooth to rough fields."""

    scale: Literal["roughness", "balanced", "raw"] = "roughness"
    """Scale of the grid. `roughness`: a value of the grid is the median over validation pairs of the standard deviation
    of log J, and the λ that yields it is searched for on these pairs; `balanced` and `raw`: as for networks."""
    grid: Grid | None = None
    """Levels to try for every loss. If the last one is best on validation, one more is added. Default: .05, .1, .2, .3
    and .4 on the scale `roughness`; the values on the losses' cards on the other scales."""


class Augmentation(Block):
    """Ranges of the random affine augmentation, applied jointly to both images of a pair."""

    rotation: Annotated[Number, Field(ge=0, le=180)] = 0
    """Maximum angle in degrees."""
    scale: Annotated[
        list[Annotated[Number, Field(ge=0.01, le=100)]], Field(min_length=2, max_length=2), AfterValidator(rising)
    ] = [1, 1]
    """Minimum and maximum magnification."""
    shear: Annotated[Number, Field(ge=0, lt=1)] = 0
    """Maximum shear."""
    translation: Annotated[Number, Field(ge=0, lt=1)] = 0
    """Maximum shift as a fraction of each axis."""
    flip: bool = False
    """Mirror each axis with probability one half."""


class Training(Block):
    """Training of registration networks."""

    steps: Steps = 20000
    """Number of updates."""
    batch: Batch = 4
    """Pairs per update."""
    learning_rate: LearningRate = 0.0001
    """Learning rate of Adam."""
    validate_every: Steps = 500
    """Steps between validations."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    patience: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Validations without improvement before the learning rate drops to a tenth; 0 keeps it constant."""
    annealing: bool = False
    """Decay the learning rate linearly to zero over the last two fifths of the steps, for trainings too short to reach
    a plateau."""
    lam: Lambda = Field(default_factory=Lambda, alias="lambda")
    """The regularisation weight λ."""
    augmentation: Augmentation = Field(default_factory=Augmentation)
    """Ranges of the random affine augmentation, applied jointly to both images of a pair."""
    precision: Precision = "32-true"
    """Floating-point precision of the training; bfloat16 autocast is meant for GPUs."""


class Optimisation(Block):
    """Per-pair (instance) optimisation."""

    transformation: Literal["velocity", "displacement", "bspline"] = "velocity"
    """Parameters on a grid of control points: `velocity`, a stationary velocity field, which gives diffeomorphisms;
    `displacement`; or `bspline`, coefficients of cubic B-splines."""
    regulariser: Literal["diffusion", "bending"] = "diffusion"
    """Mean square of first differences (`diffusion`) or of second differences (`bending`)."""
    kernel: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    """Standard deviation of the Gaussian that smooths velocity or displacement, in the dataset's unit of length.
    Default (null): one and a half times the smallest spacing. Control points are four thirds of it apart."""
    levels: Annotated[int, Field(ge=1, le=8)] = 4
    """Number of resolution levels of the transformation; each level halves control point distance and kernel."""
    pyramid: bool = True
    """Whether losses see coarser images at coarser levels; losses with a feature extractor see coarser feature maps of
    the full-resolution images instead. The last level is at full resolution."""
    rate: Annotated[Number, Field(gt=0, le=10)] = 0.3
    """Length of the first steps, as a multiple of the control point distance at the finest level."""
    tolerance: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """A pair has converged if 99 % of its field change by less than this many voxels over 20 evaluations of the
    objective."""
    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    """Maximum number of evaluations of the objective for one pair and λ at the finest level; pairs that have not
    converged by then are flagged."""
    batch: Batch = 8
    """Pairs optimised at once."""
    separate: Names = []
    """Losses for which every λ starts where the first λ does; for all others each λ starts from the result of the
    stronger one before it."""
    start: str | None = None
    """Start of the first λ of a path: the identity (null); the chosen fields of another method of the study, given by
    name, with the same loss if it has one; or the true fields (`truth`), which shows how much of a result is due to the
    search."""
    audit: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    """Number of validation pairs, evenly spaced, for which the search at the chosen λ is repeated from other starts
    including the truth, to tell a failure of the search from one of the loss; 0 for none."""
    lam: Path = Field(default_factory=Path, alias="lambda")
    """The regularisation path, from smooth to rough fields."""
    precision: Precision = "32-true"
    """Floating-point precision of the loss; bfloat16 autocast is meant for GPUs."""


class Pretraining(Block):
    """Training of feature extractors."""

    steps: Steps = 20000
    """Number of updates of each extractor."""
    batch: Batch = 4
    """Images per update."""
    learning_rate: LearningRate = 0.0001
    """Learning rate of Adam."""
    validate_every: Steps = 500
    """Steps between validations."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    patience: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """See `training`."""
    annealing: bool = False
    """See `training`."""
    channels_2d: Channels = [64, 128, 256]
    """Channels of each stage on 2D images, finest first."""
    channels_3d: Channels = [32, 64, 128]
    """Channels of each stage on 3D images, finest first."""
    norm: Norm = "batch"
    """Normalisation layers."""


class Landscape(Block):
    """Sampling of every loss around the true registration of test pairs."""

    pairs: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Maximum number of test pairs with a known registration."""
    lines: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Number of lines through the truth of each pair, for each of translations, rotations, scalings and
    deformations."""
    steps: Annotated[int, Field(ge=2, le=1000)] = 10
    """Points of a line on each side of the truth."""
    extent: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Largest mean end-point error on a line, relative to the mean distance of the foreground (mask, labels or the
    whole image) from its centre."""


BUDGETS: dict[str, type[Block]] = {
    "training": Training,
    "optimisation": Optimisation,
    "pretraining": Pretraining,
    "landscape": Landscape,
}
"""Models of the blocks that a dataset may override, by name."""


def stated(block: Block) -> dict[str, Any]:
    """Return the values that were set explicitly, without defaults, as plain types."""
    return block.model_dump(by_alias=True, exclude_unset=True)


AnyBlock = TypeVar("AnyBlock", bound=Block)
Changes = Annotated[AnyBlock, PlainSerializer(stated)]
"""A block merged over another one; serialised without its defaults, which would hide the values below."""


def overlaid(kind: str, base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge a budget: ``over`` takes precedence over ``base``, and ``base`` over the defaults.

    ``scale`` and ``grid`` of ``lambda`` are merged separately; ``augmentation`` is replaced as a whole.

    Args:
        kind: key of :data:`BUDGETS`.
        base: values of the study.
        over: values of the dataset or method.

    Returns:
        The complete block, as plain types.
    """
    both = {key: {**base[key], **over[key]} for key in ("lambda",) if key in base and key in over}
    return BUDGETS[kind].model_validate({**base, **over, **both}).model_dump(by_alias=True)
