"""Forecast of a study's resources: core-hours, GPU-hours, disk and memory.

Jobs of one kind have the same cost, known from records of this study or from measurements on this machine (both:
:mod:`likeness.planning.costs`). No cost is assumed for other jobs, or for those that take seconds in any study; the
forecast only counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from likeness import figures, losses
from likeness.config.study import Study
from likeness.data import layout
from likeness.data.pairs import SPLITS, complete
from likeness.datasets.catalogue import Size, size
from likeness.imageio.images import read
from likeness.methods.kinds import UNREGISTERED
from likeness.results import PRETRAINED, Run
from likeness.runtime.provenance import digest
from likeness.runtime.published import File

UNCOUNTED = (
    "simulate",
    "prepare",
    "data_sheet",
    "fetch",
    "convert",
    "sample_landscape",
    "given",
    "export",
    "consistency",
)
"""Rules without recorded or measured costs, and with one job per dataset, extractor, loss or run."""
LAST: tuple[str, ...] = ("collect", "runtime", "summary", "comparisons", "calibration", "contrasts", "claims")
LAST += ("matched", "reproduction", "ranks", "agreement", "picked", "power", "verdicts", "profiles")
LAST += ("tuning", "warp_consistency", "robustness")
"""Rules with a single job each, at the end of the workflow."""

EVALUATIONS = 110.0
"""Evaluations of the objective until a pair converges at one λ: the median over the studies of this project."""
TRIED = 1.7
"""Number of λ tried on validation pairs per λ with the wanted roughness."""
AUDITED = 4.0
"""Cost of the audit of a pair, in searches at one λ."""
COMPRESSED = 0.92
"""Size of a compressed displacement field relative to the uncompressed one."""
RAW = 0.8
"""Size of a simulated raw dataset relative to its prepared, uncompressed form."""
RECORDS_MB = 0.1
"""Size of scores, logs and records of one training."""
PART_BYTES = {"image": 4, "label": 2, "instances": 4, "mask": 1, "unmatched": 1}

SCHEDULE = frozenset(
    {"steps", "learning_rate", "validate_every", "checkpoint_every", "patience", "annealing", "lambda"}
)
"""Keys of a recipe that do not affect the cost of a step."""
VALIDATED = {"train": 12, "pretrain": 16}
"""Maximum number of validation pairs or images during training."""


class Work(NamedTuple):
    """Amount of work of a job: steps or fields, and number of validations or of pairs registered or scored."""

    units: float
    checks: float = 0.0


class Seconds(NamedTuple):
    """Duration of a job: at its start, per unit and per check of its :class:`Work`."""

    start: float
    unit: float = 0.0
    check: float = 0.0

    def of(self, work: Work) -> float:
        """Return the seconds of a job with the given amount of work."""
        return self.start + self.unit * work.units + self.check * work.checks


@dataclass(frozen=True)
class Cost:
    """Cost of one job of a kind.

    Attributes:
        core: core-seconds.
        gpu: seconds with a GPU; ``None`` if it was not observed on one.
        peak_mb: peak memory; ``None`` if unknown.
        file_mb: size of the weights that it keeps, or of one field that it writes; ``None`` if unknown.
        source: ``"recorded"`` or ``"measured"``.
    """

    core: Seconds
    gpu: Seconds | None
    peak_mb: float | None
    file_mb: float | None
    source: str

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Cost:
        """Restore from plain types, as written by :func:`dataclasses.asdict` and JSON."""
        seconds = {key: Seconds(*plain[key]) if plain[key] else None for key in ("core", "gpu")}
        return cls(**{**plain, **seconds})


@dataclass(frozen=True)
class Kind:
    """Jobs with the same cost.

    Attributes:
        rule: name of the Snakemake rule.
        job: ``"train"``, ``"optimise"``, ``"audit"``, ``"classical"``, ``"pretrain"``, ``"register"`` or ``"score"``.
        who: identifies the kind among those of the same job: dataset, method, loss and variant, or dataset and
            extractor.
        jobs: number of jobs.
        work: amount of work of each job.
        task: everything that determines the cost of a unit of work, as plain types; input of a measurement.
    """

    rule: str
    job: str
    who: tuple[str | None, ...]
    jobs: int
    work: Work
    task: dict[str, Any]

    @property
    def unregistered(self) -> bool:
        """Whether the jobs score unregistered pairs."""
        return self.job == "score" and self.who[1] == UNREGISTERED

    def place(self, seed: int | None) -> str:
        """Return the path of the records of the job with a seed, see :mod:`likeness.results`."""
        if self.job == "pretrain":
            return PRETRAINED.format(dataset=self.who[0], extractor=self.who[1], seed=seed)
        if len(self.who) == 2:
            return Run(self.dataset, str(self.who[1])).place
        dataset, method, loss, variant = self.who
        return Run(str(dataset), str(method), loss, variant, seed).place

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.who[0])

    @cached_property
    def key(self) -> str:
        """Digest of the task, equal for kinds with the same cost per unit of work."""
        return digest(self.task)


@dataclass(frozen=True)
class Expected:
    """Total cost of the jobs of one rule.

    Attributes:
        jobs: number of jobs.
        core_seconds: core-seconds of jobs with known cost.
        gpu_seconds: GPU-seconds of these; ``None`` if no job was observed on a GPU.
        unknown: number of jobs with unknown cost.
    """

    jobs: int
    core_seconds: float = 0.0
    gpu_seconds: float | None = None
    unknown: float = 0

    def plus(self, jobs: int, cost: Cost | None, work: Work) -> Expected:
        """Return the total with further jobs of one kind."""
        if cost is None:
            return replace(self, jobs=self.jobs + jobs, unknown=self.unknown + jobs)
        gpu = self.gpu_seconds
        if cost.gpu is not None:
            gpu = (gpu or 0.0) + jobs * cost.gpu.of(work)
        return Expected(self.jobs + jobs, self.core_seconds + jobs * cost.core.of(work), gpu, self.unknown)


@dataclass(frozen=True)
class Forecast:
    """Resources for a complete run of a study.

    Attributes:
        rules: costs by rule, in the order of the workflow.
        longest: seconds of the longest chain of dependent jobs, each on one core.
        kept_gb: disk space at the end, without weights and fields of unknown size.
        fields_gb: additional disk space for the fields of one training until they are scored.
        peak_mb: memory of the largest job; ``None`` if unknown for all.
        sources: number of kinds of jobs with recorded, measured or unknown cost.
        unsized: published files of unknown size, which ``kept_gb`` does not include.
        unmeasured: published networks without measurement, which times and ``peak_mb`` do not include.
    """

    rules: dict[str, Expected]
    longest: float
    kept_gb: float
    fields_gb: float
    peak_mb: float | None
    sources: Counter[str]
    unsized: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()

    @property
    def core_seconds(self) -> float:
        """Core-seconds of the whole study."""
        return sum(rule.core_seconds for rule in self.rules.values())

    def left(self, jobs: Mapping[str, int]) -> Expected:
        """Return the cost of a number of jobs of each rule."""
        core, gpu, unknown = 0.0, None, 0.0
        for name, count in jobs.items():
            rule = self.rules.get(name)
            if rule is not None and rule.jobs:
                share = count / rule.jobs
                core, unknown = core + rule.core_seconds * share, unknown + rule.unknown * share
                if rule.gpu_seconds is not None:
                    gpu = (gpu or 0.0) + rule.gpu_seconds * share
        return Expected(sum(jobs.values()), core, gpu, unknown)

    def peak_gb(self, jobs: int) -> float:
        """Return the maximum disk space in GB with ``jobs`` parallel jobs, each with the fields of one training."""
        return self.kept_gb + jobs * self.fields_gb


def sizes(study: Study) -> dict[str, Size]:
    """Return the sizes of a study's datasets; for user datasets, the tables and one image are read."""
    found = {}
    for name in study.prepared:
        entry = study.config["datasets"][name]
        if "folder" not in entry:
            made = size(entry["recipe"], entry["options"])
            found[name] = made._replace(pairs={k: min(n, entry["pairs"].get(k, n)) for k, n in made.pairs.items()})
            continue
        raw = layout.check_tables(entry["folder"])
        first = raw.folder / str(raw.images["image"].iloc[0])
        image, _ = read(first, raw.meta["spatial_dims"])
        pairs = complete(raw.images, raw.pairs, raw.meta["pairs"], entry["seed"], entry["pairs"])
        counts = {split: int((pairs.split == split).sum()) for split in ("val", "test")}
        images = {split: int((raw.images.split == split).sum()) for split in SPLITS}
        found[name] = Size(image.shape, images, counts, len(raw.meta["labels"]))
    return found


@dataclass(frozen=True)
class Plan:
    """A study, the sizes of its datasets, and its kinds of jobs, in the order of the workflow."""

    study: Study
    sizes: dict[str, Size]
    kinds: list[Kind]


def plan(study: Study) -> Plan:
    """Create the plan of a study."""
    extents = sizes(study)
    return Plan(study, extents, kinds(study, extents))


@dataclass(frozen=True)
class _Scene:
    """A dataset of a study, with what determines the cost of jobs."""

    study: Study
    dataset: str
    extent: Size

    @property
    def parts(self) -> list[str]:
        return sorted(self.study.capabilities[self.dataset]["parts"])

    @property
    def fields(self) -> int:
        """Number of pairs that are registered and scored."""
        return sum(self.extent.pairs.values())

    def task(self, job: str, parts: Sequence[str], **more: Any) -> dict[str, Any]:
        """Create the task of a job, see :attr:`Kind.task`."""
        return {"job": job, "shape": list(self.extent.shape), "labels": self.extent.labels, "parts": [*parts], **more}

    def learning(self, job: str, **more: Any) -> dict[str, Any]:
        """Create the task of a job that uses the parts that losses can learn from."""
        return self.task(job, self.parts, **more)

    def scoring(self, who: tuple[str | None, ...], jobs: int, lams: int = 1, rule: str = "score") -> Kind:
        """Create the kind of jobs that score fields; costly metrics are computed for test pairs at one λ only."""
        tested = round(self.extent.pairs["test"] / self.fields / lams, 2)
        work = Work(lams * self.fields, self.fields)
        return Kind(rule, "score", who, jobs, work, self.task("score", self.parts, tested=tested))


def kinds(study: Study, extents: Mapping[str, Size]) -> list[Kind]:
    """List the kinds of jobs whose cost depends on the study, in the order of the workflow."""
    found: list[Kind] = []
    for dataset, extent in extents.items():
        scene = _Scene(study, dataset, extent)
        found += _pretrainings(scene)
        if dataset in study.datasets:
            found += [*_trainings(scene), *_optimisations(scene), *_classical(scene)]
            given = [run.method for run in study.givens() if run.dataset == dataset]
            found += [scene.scoring((dataset, method), 1) for method in given]
            found.append(scene.scoring((dataset, UNREGISTERED), 1, rule="score_unregistered"))
    return found


def _trainings(scene: _Scene) -> Iterator[Kind]:
    study, fields, seeds = scene.study, scene.fields, len(scene.study.seeds)
    for who in dict.fromkeys(training[:4] for training in study.trainings() if training[0] == scene.dataset):
        dataset, method, loss, _ = who
        recipe = study.training(dataset, method, loss)
        lams, kept = len(recipe["lambda"]["grid"]), deciding(recipe)
        validated = min(VALIDATED["train"], scene.extent.pairs["val"])
        work = Work(lams * recipe["steps"], lams * validated * _checks(recipe))
        task = scene.learning("train", recipe=kept, **_needs(study, who))
        yield Kind(f"train_{loss}", "train", who, seeds, work, task)
        task = scene.task("register", ["image"], recipe=kept)
        yield Kind("register", "register", who, seeds, Work(lams * fields, fields), task)
        yield scene.scoring(who, seeds, lams)


def _optimisations(scene: _Scene) -> Iterator[Kind]:
    study, runs = scene.study, [run for run in scene.study.optimisations() if run.dataset == scene.dataset]
    for who, jobs in Counter((run.dataset, run.method, str(run.loss), str(run.variant)) for run in runs).items():
        recipe = study.optimisation(*who[:3])
        task = scene.learning("optimise", recipe=recipe, **_needs(study, who))
        work = Work(evaluations(recipe, scene.extent), scene.fields)
        yield Kind(f"optimise_{who[2]}", "optimise", who, jobs, work, task)
        yield scene.scoring(who, jobs, len(recipe["lambda"]["grid"]))
        if audited := min(study.audited(*who[:2]), scene.extent.pairs["val"]):
            again = AUDITED * min(EVALUATIONS, recipe["evaluations"]) * audited
            yield Kind("audit", "audit", who, jobs, Work(again, scene.fields), task)


def _classical(scene: _Scene) -> Iterator[Kind]:
    study, fields = scene.study, scene.fields
    runs = [run for run in study.classical() if run.dataset == scene.dataset]
    for who, jobs in Counter((run.dataset, run.method, run.loss, run.variant) for run in runs).items():
        recipe = study.classical_recipe(who[1], str(who[3]))
        lams = len(recipe["path"])
        task = scene.task("classical", ["image"], recipe=recipe)
        yield Kind("classical", "classical", who, jobs, Work(lams * fields, fields), task)
        yield scene.scoring(who, jobs, lams)


def _needs(study: Study, who: tuple[str, ...]) -> dict[str, Any]:
    """Return the parts of a task that depend on the loss: its name, its options, its extractor."""
    dataset, _, loss, variant = who
    needs: dict[str, Any] = {"loss": loss, "options": losses.completed(loss, study.options(loss, variant))}
    if source := study.trained_extractor(dataset, loss, variant):
        needs["extractor"] = {"name": source[1], "recipe": deciding(study.pretraining(source[0]))}
    elif name := losses.card(loss)["extractor"]:
        converted = Path(study.results) / "extractors" / f"{name}.safetensors"
        needs["extractor"] = {"name": name, "weights": str(converted) if converted.exists() else None}
    return needs


def evaluations(recipe: Mapping[str, Any], extent: Size) -> float:
    """Estimate the number of evaluations of the objective of an optimisation, summed over pairs."""
    lams = len(recipe["lambda"]["grid"])
    tried = TRIED if recipe["lambda"]["scale"] == "roughness" else 1.0
    each = min(EVALUATIONS, recipe["evaluations"])
    validation, test = extent.pairs["val"], extent.pairs["test"]
    # without validation pairs the roughness is calibrated on test pairs
    return lams * each * (tried * validation + test if validation else tried * test)


def _pretrainings(scene: _Scene) -> Iterator[Kind]:
    study, dataset = scene.study, scene.dataset
    recipe = study.pretraining(dataset)
    validated = min(VALIDATED["pretrain"], scene.extent.images["val"])
    for name in dict.fromkeys(name for where, name, _ in study.pretrainings() if where == dataset):
        task = scene.learning("pretrain", recipe=deciding(recipe), name=name)
        work = Work(recipe["steps"], validated * _checks(recipe))
        yield Kind("pretrain", "pretrain", (dataset, name), len(study.seeds), work, task)


def _checks(recipe: Mapping[str, Any]) -> int:
    return ceil(recipe["steps"] / recipe["validate_every"])


def deciding(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Select the keys of a recipe that determine the cost of a step, and whether λ₀ is computed before."""
    kept = {key: value for key, value in recipe.items() if key not in SCHEDULE}
    return {**kept, "scale": recipe["lambda"]["scale"]} if "lambda" in recipe else kept


NONE: Mapping[Any, Cost] = MappingProxyType({})


def forecast(
    planned: Plan, records: Mapping[tuple[str | None, ...], Cost] = NONE, measured: Mapping[str, Cost] = NONE
) -> Forecast:
    """Forecast the resources for a complete run of a study.

    Args:
        planned: plan of the study.
        records: result of :func:`likeness.planning.costs.recorded`.
        measured: costs by :attr:`Kind.key`.
    """
    costed = [(kind, records.get((kind.job, *kind.who)) or measured.get(kind.key)) for kind in planned.kinds]
    study = planned.study
    known = [(kind, cost) for kind, cost in costed if cost is not None]
    fields = [kind.work.units * (cost.file_mb or 0.0) for kind, cost in known if kind.job == "register"]
    chain = {kind.job: 0.0 for kind in planned.kinds}
    for kind, cost in known:
        chain[kind.job] = max(chain[kind.job], (cost.gpu or cost.core).of(kind.work))
    kept, held = _kept_mb(planned, known), max(fields, default=0.0)
    if study.exports:
        kept += _exported_mb(planned)
    elif study.config["keep_fields"]:
        kept, held = kept + len(study.seeds) * sum(fields), 0.0
    return Forecast(
        _rules(planned, costed),
        sum(chain.values()),
        kept / 1e3,
        held / 1e3,
        max((cost.peak_mb for _, cost in known if cost.peak_mb is not None), default=None),
        Counter(cost.source if cost else "unknown" for _, cost in costed),
        tuple(file.name for file in _published(study) if file.size is None),
        tuple(dict.fromkeys(name for kind, cost in costed if cost is None and (name := _network(kind)))),
    )


def _network(kind: Kind) -> str | None:
    """Return the published network that a kind of job runs; its cost can be measured once its weights are converted."""
    extractor = kind.task.get("extractor") or {}
    return extractor["name"] if "weights" in extractor else None


def _rules(planned: Plan, costed: Iterable[tuple[Kind, Cost | None]]) -> dict[str, Expected]:
    """Sum the costs of the kinds of every rule."""
    study = planned.study
    prepared, converted = len(study.prepared), len(study.published)
    own = sum("folder" in study.config["datasets"][name] for name in study.prepared)
    sampled = {loss for dataset in study.datasets for loss, _ in study.combinations(dataset)}
    exported = sum(len(study.exports) for _ in study.runs())
    counts = (prepared - own, prepared, len(study.datasets), converted, converted)
    more = (len(sampled), len(study.givens()), exported, len(list(study.warped_again())))
    rules = {name: Expected(count, unknown=count) for name, count in zip(UNCOUNTED, counts + more, strict=True)}
    for kind, cost in costed:
        rules[kind.rule] = rules.get(kind.rule, Expected(0)).plus(kind.jobs, cost, kind.work)
    drawn = len(figures.names())
    return rules | dict.fromkeys(LAST, Expected(1, unknown=1)) | {"plot": Expected(drawn, unknown=drawn)}


def _exported_mb(planned: Plan) -> float:
    """Return the size of the exported fields of all runs at their chosen λ, in every requested convention."""
    each = {
        name: COMPRESSED * 4.0 * len(extent.shape) * prod(extent.shape) * sum(extent.pairs.values()) / 1e6
        for name, extent in planned.sizes.items()
    }
    return len(planned.study.exports) * sum(each[run.dataset] for run in planned.study.runs())


def _published(study: Study) -> list[File]:
    return [file for name in study.published for file in study.source(name).files]


def _kept_mb(planned: Plan, costed: Iterable[tuple[Kind, Cost]]) -> float:
    """Return the size of everything kept on disk except fields: data, weights, one sample per training, records.

    Published weights count twice, as downloaded and as converted, or once if they come with a package; files of unknown
    size are ignored.
    """
    total = sum((1 if file.package else 2) * (file.size or 0) / 1e6 for file in _published(planned.study))
    for name, extent in planned.sizes.items():
        dims, parts = len(extent.shape), planned.study.capabilities[name]["parts"]
        each = sum(PART_BYTES.get(part, 0) for part in parts) + (4 * dims if "field" in parts else 0)
        own = "folder" in planned.study.config["datasets"][name]
        total += (1 if own else 1 + RAW) * each * prod(extent.shape) * sum(extent.images.values()) / 1e6
    for kind, cost in costed:
        if kind.job == "pretrain":
            total += kind.jobs * (cost.file_mb or 0.0)
        elif kind.job == "classical":
            total += kind.jobs * (kind.work.units * (cost.file_mb or 0.0) + RECORDS_MB)
        elif kind.job == "optimise":
            # parameters for every pair and λ, and one field for figures
            lams, pairs = len(planned.study.optimisation(*map(str, kind.who[:3]))["lambda"]["grid"]), kind.work.checks
            total += kind.jobs * (lams * pairs * (cost.file_mb or 0.0) + RECORDS_MB)
        elif kind.job in ("train", "register"):
            # a network for every λ of the grid, and one field for figures
            lams = len(planned.study.training(*map(str, kind.who[:3]))["lambda"]["grid"])
            total += kind.jobs * (lams * (cost.file_mb or 0.0) + RECORDS_MB)
    return total
