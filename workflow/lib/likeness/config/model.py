"""Models of the configuration blocks; with :mod:`likeness.config.budgets` the single definition of all keys.

``make docs`` generates the schema for editors and the tables of the documentation from these models.
:mod:`likeness.config.entries` adds losses, built-in datasets and kinds of methods from their cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from likeness.config.budgets import Changes, Landscape, Optimisation, Pretraining, Training
from likeness.config.values import (
    AsStated,
    Block,
    Digest,
    Folder,
    Grid,
    Line,
    Misfit,
    Name,
    Names,
    Number,
    Revision,
    Seed,
    distinct,
    opened,
    tagged,
)

Convention = Literal["itk", "learn2reg", "voxels"]
Most = Annotated[int, Field(ge=1, le=1_000_000)]
Hashes = tagged(
    {"one": Digest, "several": dict[str, Digest]},
    lambda value: "several" if isinstance(value, Mapping) else "one",
)
Kept = tagged(
    {"whether": bool, "conventions": Annotated[list[Convention], Field(min_length=1), AfterValidator(distinct)]},
    lambda value: "conventions" if isinstance(value, list | str) else "whether",
)


class Pairs(AsStated):
    """Maximum number of pairs of each split, drawn at random with the seed; by default all."""

    train: Most | None = None
    """Maximum number of training pairs."""
    val: Most | None = None
    """Maximum number of validation pairs."""
    test: Most | None = None
    """Maximum number of test pairs."""


class Degrade(AsStated):
    """Degradation of test images, after their intensities were mapped to 0 … 1; training and validation images stay.
    The id of an image that is degraded as a moving image only ends with `~moving`."""

    noise: Annotated[Number, Field(ge=0, le=1)] = 0
    """Standard deviation of Gaussian noise, of both images of a pair."""
    blur: Annotated[Number, Field(ge=0, le=100)] = 0
    """Standard deviation of a Gaussian, of both images, as a multiple of the smallest spacing."""
    invert: bool = False
    """Invert the contrast of the moving image."""
    gamma: Annotated[Number, Field(ge=0.1, le=10)] = 1
    """Exponent of the intensities of the moving image."""
    bias: Annotated[Number, Field(ge=0, le=2)] = 0
    """Strength of a smooth bias field in the moving image: the standard deviation of its logarithm."""


class Dataset(Block):
    """A dataset, built-in (`recipe`) or your own (`folder`)."""

    seed: Seed = 1
    """Seed of the simulation and of randomly drawn pairs."""
    pairs: Pairs = Field(default_factory=Pairs)
    """Maximum number of pairs of each split, drawn at random with the seed; by default all."""
    presmoothing: Annotated[Number, Field(ge=0, le=1e6)] = 0
    """Standard deviation of the Gaussian that smooths every image before any other processing, in the dataset's unit of
    length. Interpolation smooths between voxels but not on them; the smoother the images, the smaller this effect."""
    degrade: Degrade = Field(default_factory=Degrade)
    """Degradation of test images, after their intensities were mapped to 0 … 1; training and validation images stay."""
    without_losses: Names = []
    """Losses of the study to skip on this dataset, to save time."""
    without_methods: Names = []
    """Methods of the study to skip on this dataset, to save time; for a method with variants but without a loss, such
    as syn, `syn/cc` skips a single variant."""
    training: Changes[Training] = Field(default_factory=Training)
    """Values that replace those of the study's `training` on this dataset."""
    optimisation: Changes[Optimisation] = Field(default_factory=Optimisation)
    """Values that replace those of the study's `optimisation` on this dataset."""
    pretraining: Changes[Pretraining] = Field(default_factory=Pretraining)
    """Values that replace those of the study's `pretraining` on this dataset."""
    landscape: Changes[Landscape] = Field(default_factory=Landscape)
    """Values that replace those of the study's `landscape` on this dataset."""


class Own(Dataset):
    """A dataset of your own."""

    folder: Annotated[str, Field(min_length=1)]
    """Folder with dataset.yaml, images.csv and optionally pairs.csv, relative to the project."""


class LossLambda(Block):
    """Regularisation of one loss."""

    grid: Grid | None = None
    """Values to try, instead of those of the study or the loss's card; ignored on the scale `roughness`, where all
    losses have the same levels."""


class Loss(Block):
    """A loss; without entries it runs with its default options as the variant `default`."""

    lam: LossLambda = Field(default_factory=LossLambda, alias="lambda")
    """Regularisation of this loss."""


class Losses(AsStated):
    """Losses by name."""

    @model_validator(mode="after")
    def _any(self) -> Losses:
        if not self.model_fields_set:
            raise Misfit("too_short", min_length=1)
        return self


class Checkpoints(Block):
    """Published weights of feature extractors; the files are shared between studies."""

    folder: Annotated[str, Field(min_length=1, max_length=200)] = "data/checkpoints"
    """Folder that they are downloaded to, or copied to by hand, relative to the project."""
    sources: Annotated[dict[str, Revision], BeforeValidator(opened)] = {}
    """Alternative Hugging Face models by extractor, as owner/name@revision; the files must have the same layout as
    those of the model they replace. `hashes` must state the SHA-256 of each file."""
    hashes: Annotated[dict[str, Hashes], BeforeValidator(opened)] = {}  # type: ignore[valid-type]
    """Hashes (SHA-256) by extractor, for files whose hash the project does not know, those of a model under `sources`,
    or files copied to the folder in place of the published ones; for several files a block by file name."""


class Statistics(Block):
    """Confidence intervals and the calibration of tests."""

    simulations: Annotated[int, Field(ge=200, le=1_000_000)] = 4000
    """Number of simulations, for every case, of the calibration of the tests on the study's own pairs."""
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95
    """Confidence level of the intervals."""


class Contrast(Block):
    """A difference to test, stated before the study runs."""

    a: Annotated[str, Field(min_length=1)]
    """What is compared: a loss, a variant as `loss/variant`, or a method without a loss, such as `unregistered` or
    `syn/mi`."""
    b: Annotated[str, Field(min_length=1)] | None = None
    """What it is compared with; the effect is a − b."""
    best_of: Names = []
    """In place of `b`: compare with the one of these that scores best on validation pairs."""
    method: str | None = None
    """The method whose losses these are; by default every method with losses."""
    datasets: Names = []
    """Datasets on which to test it; by default all."""
    metric: str | None = None
    """Metric; by default the primary score of the dataset."""
    smallest: Annotated[Number, Field(gt=0, le=1e9)] | None = None
    """Smallest effect of interest, in the metric's unit; by default that of the metric's card, or 2 % of
    b's mean score, for slopes too."""
    over: str | None = None
    """Compare slopes: how much the scores on `datasets` change over this option, from its lowest to its highest value.
    The datasets must be alike in everything else."""
    claim: str | None = None
    """The claim, one of `claims`, that a better a speaks for."""


class WarpConsistency(Block):
    """Registration of test pairs again after a known random warp of their moving images: does the field change by it?
    Of every per-pair optimisation that does not start from given fields, at the chosen λ."""

    pairs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Maximum number of test pairs of a dataset, evenly spaced; 0 for none."""
    displacement: Annotated[Number, Field(gt=0, le=1000)] = 3
    """Root mean square length of the warp's velocity, as a multiple of the smallest spacing. The warp is a smooth
    diffeomorphism, drawn with the first seed of the study, the same for every loss."""


class Tune(Block):
    """Trials of the options of losses, each scored on validation pairs at its own best λ. A study with trials makes the
    table `tuning.csv` and no figures."""

    trials: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of trials of every loss besides its default options, drawn at random without repetition; a loss with fewer
    combinations has all of them. 0 for none."""
    seed: Seed = 1
    """Seed of the draw."""


class Configuration(Block):
    """A study: datasets, losses and budgets. A configuration file replaces the default one; nothing is merged."""

    title: Line
    """Title of the study on one line, shown in figures and the report."""
    demonstration: bool = False
    """Stamp every figure as a demonstration, because the budget is too small for claims."""
    results: Folder = "results"
    """Folder for all results, relative to the project."""
    seeds: Annotated[
        list[Seed], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(distinct)
    ] = [1]
    """Random seeds; each gives a separate run with its own extractors. Claims need at least five."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of CPU threads of one training or optimisation; fixed, so that results do not depend on the number of
    cores."""
    keep_fields: Kept = False  # type: ignore[valid-type]
    """Whether to keep the displacement fields of all pairs after scoring; or a list of conventions (itk, learn2reg,
    voxels) in which every run's fields at the chosen λ are written to `exports/` of the results, for use by other
    programs or as given fields of another study."""
    only_losses: str = ""
    """Space-separated losses to run instead of all under `losses`; one that is not listed there runs with its default
    options. Empty means all. Set by `make figures LOSSES=…`."""
    skip_losses: str = ""
    """Space-separated losses to leave out for now, for example those that need a GPU; claims about them are `not tested
    here`. Set by `make figures WITHOUT=…`."""
    only_datasets: str = ""
    """Space-separated datasets to restrict the study to; empty means all. Set by `make figures DATASETS=…`."""
    training: Training = Field(default_factory=Training)
    """Training of registration networks; can be changed per dataset."""
    optimisation: Optimisation = Field(default_factory=Optimisation)
    """Per-pair (instance) optimisation; can be changed per dataset and per method of that kind."""
    pretraining: Pretraining = Field(default_factory=Pretraining)
    """Training of feature extractors; can be changed per dataset."""
    landscape: Landscape = Field(default_factory=Landscape)
    """Sampling of every loss around the true registration of test pairs; can be changed per dataset."""
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    """Published weights of feature extractors; the files are shared between studies."""
    warp_consistency: WarpConsistency = Field(default_factory=WarpConsistency)
    """Registration of test pairs again after a known random warp of their moving images: does the field change by
    it?"""
    statistics: Statistics = Field(default_factory=Statistics)
    """Confidence intervals and the calibration of tests."""
    contrasts: list[Contrast] = []
    """Differences to test, at most ten on a dataset, stated before the study runs. All others are shown without p."""
    claims: dict[Name, Line] = {}
    """What the study is to decide, by name: statements that contrasts speak for or against."""
