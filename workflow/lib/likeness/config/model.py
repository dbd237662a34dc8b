"""The blocks of a study: with :mod:`likeness.config.budgets` the one place that states their keys, types, limits,
defaults and descriptions.

The schema for editors and the tables of the documentation are written from here by ``make docs``. What has a card,
losses, built-in datasets and kinds of methods, comes in by :mod:`likeness.config.entries`.
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
    """Most pairs of a split, drawn at random by the seed; by default all of them."""

    train: Most | None = None
    """Of the training pairs."""
    val: Most | None = None
    """Of the validation pairs."""
    test: Most | None = None
    """Of the test pairs."""


class Dataset(Block):
    """A dataset, built-in (`recipe`) or your own (`folder`)."""

    seed: Seed = 1
    """Seed of the simulation and of drawn pairs."""
    pairs: Pairs = Field(default_factory=Pairs)
    """Most pairs of a split, drawn at random by the seed; by default all of them."""
    presmoothing: Annotated[Number, Field(ge=0, le=1e6)] = 0
    """Standard deviation of the Gaussian that smooths every image before anything sees it, in the dataset's unit of
    length. Interpolation smooths half-way between voxels and not on them, which matters less to smooth images."""
    without_losses: Names = []
    """Losses of the study that are left out on this dataset, for time."""
    without_methods: Names = []
    """Methods of the study that are left out on this dataset, for time; of one that has variants without a loss, such
    as syn, `syn/cc` leaves out one of them."""
    training: Changes[Training] = Field(default_factory=Training)
    """What differs from the study's `training` on this dataset."""
    optimisation: Changes[Optimisation] = Field(default_factory=Optimisation)
    """What differs from the study's `optimisation` on this dataset."""
    pretraining: Changes[Pretraining] = Field(default_factory=Pretraining)
    """What differs from the study's `pretraining` on this dataset."""
    landscape: Changes[Landscape] = Field(default_factory=Landscape)
    """What differs from the study's `landscape` on this dataset."""


class Own(Dataset):
    """A dataset of your own."""

    folder: Annotated[str, Field(min_length=1)]
    """Folder with dataset.yaml, images.csv and optionally pairs.csv, relative to the project."""


class LossLambda(Block):
    """The regularisation of one loss."""

    grid: Grid | None = None
    """Values to try instead of those on the loss's card and of the study; on the scale `roughness` all losses have the
    same levels."""


class Loss(Block):
    """A loss; without entries it runs with its defaults as the variant `default`."""

    lam: LossLambda = Field(default_factory=LossLambda, alias="lambda")
    """The regularisation of this loss."""


class Losses(AsStated):
    """Losses by name."""

    @model_validator(mode="after")
    def _any(self) -> Losses:
        if not self.model_fields_set:
            raise Misfit("too_short", min_length=1)
        return self


class Checkpoints(Block):
    """Published weights of feature extractors; studies share the files."""

    folder: Annotated[str, Field(min_length=1, max_length=200)] = "data/checkpoints"
    """Folder that they are fetched into, or put into by hand, relative to the project."""
    sources: Annotated[dict[str, Revision], BeforeValidator(opened)] = {}
    """Models on the Hugging Face hub in place of the published ones, by extractor, as owner/name@revision; each of the
    layout of the one that it replaces. `hashes` has to state the SHA-256 of every file of such a model."""
    hashes: Annotated[dict[str, Hashes], BeforeValidator(opened)] = {}  # type: ignore[valid-type]
    """The SHA-256 of files by extractor; where an extractor has several files, a block by file name. Needed for files
    whose hash the project does not know, that are of a model under `sources`, or that you put in place of the published
    ones."""


class Statistics(Block):
    """How intervals and p values are made."""

    resamples: Annotated[int, Field(ge=200, le=1_000_000)] = 5000
    """Resamples of the crossed bootstrap over subjects."""
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""


class Configuration(Block):
    """A study names datasets, losses and budgets. A configuration file replaces the default one; nothing is merged."""

    title: Line
    """One line that names the study; figures and the report show it."""
    demonstration: bool = False
    """Whether every figure is stamped as a demonstration, because the budget is too small for claims."""
    results: Folder = "results"
    """Folder that everything is written to, relative to the project."""
    seeds: Annotated[
        list[Seed], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(distinct)
    ] = [1]
    """Seeds of all that is drawn; each is a run of its own, and an extractor of its own. Claims need at least five."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processor threads of one training or optimisation; a fixed number, so that tables do not depend on the number of
    cores."""
    keep_fields: Kept = False  # type: ignore[valid-type]
    """Whether the displacement fields of all pairs stay on disk after they are scored. A list of conventions (itk,
    learn2reg, voxels) instead writes the fields of every run at the chosen λ into `exports/` of the results, for other
    programs, or for another study as given fields."""
    only_losses: str = ""
    """Space-separated losses to run instead of those under `losses`; one that is not listed there runs with its
    defaults. Empty means all that are listed. Set by `make figures LOSSES=…`."""
    only_datasets: str = ""
    """Space-separated datasets to restrict the study to; empty means all. Set by `make figures DATASETS=…`."""
    training: Training = Field(default_factory=Training)
    """Budget of every registration training; a dataset may change it."""
    optimisation: Optimisation = Field(default_factory=Optimisation)
    """How each pair is optimised by itself; a dataset or a method of that kind may change it."""
    pretraining: Pretraining = Field(default_factory=Pretraining)
    """Budget of the pretrained extractors; a dataset may change it."""
    landscape: Landscape = Field(default_factory=Landscape)
    """How densely every loss is sampled around the truth of test pairs; a dataset may change it."""
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    """Published weights of feature extractors; studies share the files."""
    statistics: Statistics = Field(default_factory=Statistics)
    """How intervals and p values are made."""
