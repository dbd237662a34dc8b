"""The blocks of a study in which a dataset may differ: how long, how fast and how densely."""

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
    """`balanced`: λ = λ₀ · s, where λ₀ equalises the gradient norms of dissimilarity and regulariser and s is from the
    grid; `raw`: λ is from the grid, as in the papers' protocols."""
    grid: Grid | None = None
    """Values to try for every loss instead of those on its card."""


class Path(Block):
    """The path of regularisation, from smooth to rough fields."""

    scale: Literal["roughness", "balanced", "raw"] = "roughness"
    """`roughness`: the grid states the median over validation pairs of the standard deviation of log J, and the λ that
    gives it is searched for on these pairs; `balanced` and `raw`: as for networks."""
    grid: Grid | None = None
    """Levels to try for every loss. Where the last one is the best on validation, one more is added. By default .05,
    .1, .2, .3 and .4 on the scale of roughness; on the others what the losses' cards say."""


class Augmentation(Block):
    """Ranges of the joint random affine augmentation."""

    rotation: Annotated[Number, Field(ge=0, le=180)] = 0
    """Largest angle in degrees."""
    scale: Annotated[
        list[Annotated[Number, Field(ge=0.01, le=100)]], Field(min_length=2, max_length=2), AfterValidator(rising)
    ] = [1, 1]
    """Lowest and highest magnification."""
    shear: Annotated[Number, Field(ge=0, lt=1)] = 0
    """Largest shear."""
    translation: Annotated[Number, Field(ge=0, lt=1)] = 0
    """Largest shift as a fraction of each axis."""
    flip: bool = False
    """Whether each axis is mirrored with probability one half."""


class Training(Block):
    """How networks are trained."""

    steps: Steps = 20000
    """Updates of each training."""
    batch: Batch = 4
    """Pairs per update."""
    learning_rate: LearningRate = 0.0001
    """Learning rate of Adam."""
    validate_every: Steps = 500
    """Steps between validations."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    patience: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Validations without improvement before the learning rate falls to a tenth; 0 keeps it constant."""
    annealing: bool = False
    """Let the learning rate fall linearly to zero over the last two fifths of the steps, for trainings too short to
    reach a plateau."""
    lam: Lambda = Field(default_factory=Lambda, alias="lambda")
    """The regularisation weight λ."""
    augmentation: Augmentation = Field(default_factory=Augmentation)
    """Ranges of the joint random affine augmentation."""
    precision: Precision = "32-true"
    """Arithmetic of the training; bfloat16 autocast is meant for GPUs."""


class Optimisation(Block):
    """How each pair is optimised by itself."""

    transformation: Literal["velocity", "displacement", "bspline"] = "velocity"
    """What is optimised, on a grid of control points: `velocity`, stationary, which gives diffeomorphisms;
    `displacement`; or `bspline`, coefficients of cubic B-splines."""
    regulariser: Literal["diffusion", "bending"] = "diffusion"
    """The mean square of first differences, `diffusion`, or of second ones, `bending`."""
    kernel: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    """Standard deviation of the Gaussian that smooths velocity or displacement, in the dataset's unit of length; by
    default (null) one and a half times the smallest spacing. Control points are four thirds of it apart."""
    levels: Annotated[int, Field(ge=1, le=8)] = 4
    """Levels of the transformation, from coarse to fine; each halves control distance and kernel of the one before."""
    pyramid: bool = True
    """Whether losses see coarser images at coarser levels, and losses that compare features of a network coarser
    features of the full images. The last level is at full resolution."""
    rate: Annotated[Number, Field(gt=0, le=10)] = 0.3
    """Length of the first steps, in distances between the control points of the finest level."""
    tolerance: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """A pair has converged once 99 % of its field change by less than this, in voxels, over 20 evaluations of the
    objective."""
    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    """Most evaluations of the objective for a pair and λ at the finest level; what has not converged by then is
    marked."""
    batch: Batch = 8
    """Pairs that are optimised at once."""
    separate: Names = []
    """Losses for which every λ of the path starts where the first one does. For all others it starts where the stronger
    one before it ended."""
    start: str | None = None
    """Where the first λ of a path starts: from the identity (null); from the chosen fields of another method of the
    study, by its name, with the same loss where it has one; or from the true fields (`truth`), which shows how much of
    a result is due to the search."""
    audit: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    """Validation pairs, spread evenly, for which the search at the chosen λ is repeated from other starts, the truth
    among them, to tell a failure of the search from one of the loss; 0 for none."""
    lam: Path = Field(default_factory=Path, alias="lambda")
    """The path of regularisation, from smooth to rough fields."""
    precision: Precision = "32-true"
    """Arithmetic of the loss; bfloat16 autocast is meant for GPUs."""


class Pretraining(Block):
    """How feature extractors are trained."""

    steps: Steps = 20000
    """Updates of each extractor."""
    batch: Batch = 4
    """Images per update."""
    learning_rate: LearningRate = 0.0001
    """Learning rate of Adam."""
    validate_every: Steps = 500
    """Steps between validations."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    patience: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """As in training."""
    annealing: bool = False
    """As in training."""
    channels_2d: Channels = [64, 128, 256]
    """Channels of each stage on 2D images, finest first."""
    channels_3d: Channels = [32, 64, 128]
    """Channels of each stage on 3D images, finest first."""
    norm: Norm = "batch"
    """Normalisation layers."""


class Landscape(Block):
    """How densely every loss is sampled around the truth of test pairs."""

    pairs: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Test pairs with a known registration, at most."""
    lines: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Lines through the truth of each pair, for each of translations, rotations, scalings and deformations."""
    steps: Annotated[int, Field(ge=2, le=1000)] = 10
    """Points of a line on either side of the truth."""
    extent: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """The largest mean end-point error on a line, relative to the mean distance of the content (mask, labels or the
    whole image) from its centre."""


BUDGETS: dict[str, type[Block]] = {
    "training": Training,
    "optimisation": Optimisation,
    "pretraining": Pretraining,
    "landscape": Landscape,
}
"""The blocks in which a dataset may differ, by name."""


def stated(block: Block) -> dict[str, Any]:
    """Give the plain form of what a block states, without its defaults."""
    return block.model_dump(by_alias=True, exclude_unset=True)


AnyBlock = TypeVar("AnyBlock", bound=Block)
Changes = Annotated[AnyBlock, PlainSerializer(stated)]
"""A block that is laid over another one, whose values its own defaults would hide."""


def overlaid(kind: str, base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Complete a budget: the entries of ``over`` over those of ``base`` over the defaults, as plain types.

    Of ``lambda`` scale and grid are two entries, while another augmentation stands in place of the one below.
    """
    both = {key: {**base[key], **over[key]} for key in ("lambda",) if key in base and key in over}
    return BUDGETS[kind].model_validate({**base, **over, **both}).model_dump(by_alias=True)
