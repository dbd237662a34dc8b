"""What a study will take, before it runs: core- and GPU-hours, disk and memory.

Jobs of one kind cost the same. What a kind costs is known, best first, from records of such jobs of this study or from
steps that were measured on this machine (both: :mod:`likeness.planning.costs`), or from a rough model, which the
measured kinds correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil, prod
from pathlib import Path
from statistics import median
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

SUBMIT = 0.6
"""Core-seconds that Snakemake itself needs for a job."""
START = {
    "train": 4.5,
    "optimise": 3.5,
    "audit": 3.5,
    "syn": 5.0,
    "pretrain": 3.5,
    "register": 1.5,
    "score": 1.9,
    "probe": 2.3,
}
"""Core-seconds that a job takes before and after its work, mostly to import libraries."""
OTHERS = {"simulate": 6.0, "prepare": 1.0, "data_sheet": 2.5}
"""Core-seconds of a job for each dataset that nobody measures."""
LAST = {
    "collect": 0.5,
    "runtime": 0.3,
    "summary": 0.7,
    "comparisons": 1.7,
    "verdicts": 1.5,
    "profiles": 1.2,
}
"""Core-seconds of the jobs that come last, of a small study."""
PLOT = 1.9
"""Core-seconds of a figure of a small study."""

STEP = {2: 1.0e-6, 3: 1.2e-6}
"""Core-seconds per voxel, pair and step of a network with 16 (2D) or 8 (3D) channels in its first stage."""
WIDTH = {2: 16, 3: 8}
EVALUATION = {2: 2.0e-7, 3: 4.0e-7}
"""Core-seconds per voxel of a pair whose objective is evaluated once, with its gradient, by an optimisation."""
EVALUATIONS = 110.0
"""Evaluations of the objective that a pair takes to converge at one λ."""
PROBED = 1.7
"""How many λ are tried on validation pairs for every one that has the wanted roughness."""
AUDITED = 4.0
"""Searches of a pair that is audited, each as long as one at one λ."""
SYN = {2: 1.5e-5, 3: 2.5e-5}
"""Core-seconds per voxel of a pair that SyN registers by mutual information; others take about twice that."""
FIELD = {2: 3e-7, 3: 3e-7}
"""Core-seconds per voxel of a field that is predicted and written by such a network."""
CARRIED = {2: 3e-7, 3: 3e-7}
"""Core-seconds per voxel of a field that is read from, or written in, another convention."""
CARRIER = 2.5
"""Core-seconds that such a job takes before and after its work."""
SCORE = {2: 1.2e-6, 3: 0.9e-6}
"""Core-seconds per voxel of a field that is scored."""
PROBE = 1.6e-7
"""Core-seconds per voxel of a loss that is evaluated once; of an extractor as wide as that of such a network."""
BASE_MB, VOXEL_BYTES, CHANNEL_BYTES = 500.0, 1500.0, 30.0
"""Memory of a training: at rest, per voxel and pair, and for each of its channels of the first stage besides."""
COMPRESSED = 0.92
"""What compression leaves of a displacement field."""
RAW = 0.8
"""Size of a simulated raw dataset beside its prepared form, which is not compressed."""
PUBLISHED = {"fetch": 0.2, "convert": 1.7}
"""Core-seconds of the jobs that bring published weights of a few MB; how long they wait for the network is unknown."""
RECORDS_MB = 0.1
"""Scores, logs and records of one training."""
KINDS = 4
"""Kinds of lines along which a loss is probed: translations, rotations, scalings and deformations."""
SHIFTS = 13
"""Shifts along an axis, by whole and half voxels."""
PART_BYTES = {"image": 4, "label": 2, "instances": 4, "mask": 1, "unmatched": 1}

SCHEDULE = frozenset(
    {"steps", "learning_rate", "validate_every", "checkpoint_every", "patience", "annealing", "lambda"}
)
"""What a recipe says that does not decide the cost of a step."""
JUDGES = {"train": 12, "pretrain": 16}
"""At most so many pairs or images judge a training while it runs."""


class Work(NamedTuple):
    """How much a job does: steps or fields, and how often it is judged or how many pairs it registers or scores."""

    units: float
    checks: float = 0.0


class Seconds(NamedTuple):
    """What a job takes: at its start, and for each unit and each check of its :class:`Work`."""

    start: float
    unit: float = 0.0
    check: float = 0.0

    def of(self, work: Work) -> float:
        """Give the seconds of a job."""
        return self.start + self.unit * work.units + self.check * work.checks


@dataclass(frozen=True)
class Price:
    """What one job of a kind takes.

    Attributes:
        core: of processor cores.
        gpu: during which it has a GPU; ``None`` where it was not seen on one.
        peak_mb: memory; ``None`` where unknown.
        file_mb: of the weights that it keeps, or of a field that it writes; ``None`` where unknown.
        source: ``"recorded"``, ``"measured"`` or ``"modelled"``.
    """

    core: Seconds
    gpu: Seconds | None = None
    peak_mb: float | None = None
    file_mb: float | None = None
    source: str = "modelled"

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Price:
        """Make one of its plain form, as :func:`dataclasses.asdict` and JSON give it."""
        seconds = {key: Seconds(*plain[key]) if plain[key] else None for key in ("core", "gpu")}
        return cls(**{**plain, **seconds})


@dataclass(frozen=True)
class Kind:
    """Jobs that cost the same.

    Attributes:
        rule: as Snakemake names it.
        job: ``"train"``, ``"optimise"``, ``"audit"``, ``"syn"``, ``"pretrain"``, ``"register"`` or ``"score"``.
        who: what tells it from other kinds of the job: dataset, method, loss and variant, or dataset and extractor.
        jobs: how many there are.
        work: of each job.
        task: everything that decides what a unit of the work costs, as plain types: what a measurement needs.
    """

    rule: str
    job: str
    who: tuple[str | None, ...]
    jobs: int
    work: Work
    task: dict[str, Any]

    @property
    def unregistered(self) -> bool:
        """Whether it scores pairs as they are."""
        return self.job == "score" and self.who[1] == UNREGISTERED

    def place(self, seed: int | None) -> str:
        """Give the place of the records of the job with a seed, see :mod:`likeness.results`."""
        if self.job == "pretrain":
            return PRETRAINED.format(dataset=self.who[0], extractor=self.who[1], seed=seed)
        if len(self.who) == 2:
            return Run(self.dataset, str(self.who[1])).place
        dataset, method, loss, variant = self.who
        return Run(str(dataset), str(method), loss, variant, seed).place

    @property
    def dataset(self) -> str:
        """The dataset that it works on."""
        return str(self.who[0])

    @cached_property
    def key(self) -> str:
        """The same for kinds whose units cost the same."""
        return digest(self.task)


@dataclass(frozen=True)
class Expected:
    """What the jobs of one rule take together; ``gpu_seconds`` is ``None`` where no job was seen on a GPU."""

    jobs: int
    core_seconds: float
    gpu_seconds: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What a study takes from nothing.

    Attributes:
        rules: by name, in the order of the workflow.
        longest: seconds of the longest chain of jobs that wait for one another, on one core for each.
        kept_gb: on disk at the end.
        fields_gb: of the fields of one training, which lie on disk until they are scored, beside what is kept.
        peak_mb: memory of the largest job.
        sources: how many kinds of jobs are recorded, measured or modelled.
        unsized: published files whose size nobody knows, which ``kept_gb`` therefore lacks.
        unpriced: published networks that nobody ran yet, which times and ``peak_mb`` therefore lack.
    """

    rules: dict[str, Expected]
    longest: float
    kept_gb: float
    fields_gb: float
    peak_mb: float
    sources: Counter[str]
    unsized: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()

    @property
    def core_seconds(self) -> float:
        """Of the whole study."""
        return sum(rule.core_seconds for rule in self.rules.values())

    def left(self, jobs: Mapping[str, int]) -> Expected:
        """Give what so many jobs of each rule take."""
        core, gpu = 0.0, None
        for name, count in jobs.items():
            rule = self.rules.get(name)
            if rule is not None and rule.jobs:
                core += rule.core_seconds * count / rule.jobs
                if rule.gpu_seconds is not None:
                    gpu = (gpu or 0.0) + rule.gpu_seconds * count / rule.jobs
        return Expected(sum(jobs.values()), core, gpu)

    def peak_gb(self, jobs: int) -> float:
        """Give the disk at most, where so many jobs run at once: each may hold the fields of one training."""
        return self.kept_gb + jobs * self.fields_gb


def sizes(study: Study) -> dict[str, Size]:
    """Tell how large the datasets of a study are; of a folder of one's own, the tables and one image are read."""
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
    """A study, how large its datasets are, and the kinds of jobs whose cost depends on it, in the workflow's order."""

    study: Study
    sizes: dict[str, Size]
    kinds: list[Kind]


def plan(study: Study) -> Plan:
    """List what is to be priced."""
    extents = sizes(study)
    return Plan(study, extents, kinds(study, extents))


def kinds(study: Study, extents: Mapping[str, Size]) -> list[Kind]:
    """List the kinds of jobs whose cost depends on the study, in the order of the workflow."""
    found: list[Kind] = []
    seeds = len(study.seeds)
    for dataset, extent in extents.items():
        parts = study.capabilities[dataset]["parts"]
        scene = {"shape": list(extent.shape), "labels": extent.labels}
        learnt = {**scene, "parts": sorted({*parts} - {"unmatched"})}
        trainings = dict.fromkeys(training[:4] for training in study.trainings() if training[0] == dataset)
        found += _pretrainings(study, dataset, extent, learnt)
        if dataset not in study.datasets:
            continue
        fields = sum(extent.pairs.values())
        scored = partial(_scoring, {**scene, "parts": sorted(parts)}, extent.pairs["test"] / fields)
        for who in trainings:
            _, method, loss, _ = who
            recipe = study.training(dataset, method, loss)
            lams = len(recipe["lambda"]["grid"])
            judges = min(JUDGES["train"], extent.pairs["val"])
            task = {"job": "train", **learnt, "recipe": deciding(recipe), **_needs(study, who)}
            work = Work(lams * recipe["steps"], lams * judges * _checks(recipe))
            found.append(Kind(f"train_{loss}", "train", who, seeds, work, task))
            task = {"job": "register", **scene, "parts": ["image"], "recipe": deciding(recipe)}
            found.append(Kind("register", "register", who, seeds, Work(lams * fields, fields), task))
            found.append(Kind("score", "score", who, seeds, Work(lams * fields, fields), scored(lams)))
        searched = Counter((run.dataset, run.method, str(run.loss), str(run.variant)) for run in study.optimisations())
        for who, jobs in searched.items():
            if who[0] == dataset:
                recipe = study.optimisation(*who[:3])
                task = {"job": "optimise", **learnt, "recipe": recipe, **_needs(study, who)}
                lams = len(recipe["lambda"]["grid"])
                work = Work(evaluations(recipe, extent), fields)
                found.append(Kind(f"optimise_{who[2]}", "optimise", who, jobs, work, task))
                found.append(Kind("score", "score", who, jobs, Work(lams * fields, fields), scored(lams)))
                if audited := min(study.audited(*who[:2]), extent.pairs["val"]):
                    again = AUDITED * min(EVALUATIONS, recipe["evaluations"]) * audited
                    found.append(Kind("audit", "audit", who, jobs, Work(again, fields), task))
        classical = Counter((run.dataset, run.method, run.loss, run.variant) for run in study.classical())
        for form, jobs in classical.items():
            if form[0] == dataset:
                recipe = study.syn(form[1], str(form[3]))
                lams = len(recipe["smoothing"])
                task = {"job": "syn", **scene, "parts": ["image"], "recipe": recipe}
                found.append(Kind("syn", "syn", form, jobs, Work(lams * fields, fields), task))
                found.append(Kind("score", "score", form, jobs, Work(lams * fields, fields), scored(lams)))
        for run in study.givens():
            if run.dataset == dataset:
                found.append(Kind("score", "score", (dataset, run.method), 1, Work(fields, fields), scored(1)))
        found.append(Kind("score_unregistered", "score", (dataset, UNREGISTERED), 1, Work(fields, fields), scored(1)))
    return found


def _scoring(scene: Mapping[str, Any], test: float, lams: int) -> dict[str, Any]:
    """Say what scoring is measured by; of ``test``, the share of pairs, one λ is the chosen one."""
    return {"job": "score", **scene, "tested": round(test / lams, 2)}


def _needs(study: Study, who: tuple[str, ...]) -> dict[str, Any]:
    """Say what a job with a loss needs to be measured: the loss, its options, its extractor."""
    dataset, _, loss, variant = who
    needs: dict[str, Any] = {"loss": loss, "options": study.options(loss, variant)}
    if source := study.trained_extractor(dataset, loss, variant):
        needs["extractor"] = {"name": source[1], "recipe": deciding(study.pretraining(source[0]))}
    elif name := losses.card(loss)["extractor"]:
        converted = Path(study.results) / "extractors" / f"{name}.safetensors"
        needs["extractor"] = {"name": name, "weights": str(converted) if converted.exists() else None}
    return needs


def evaluations(recipe: Mapping[str, Any], extent: Size) -> float:
    """Guess how often an optimisation evaluates its objective for some pair."""
    lams = len(recipe["lambda"]["grid"])
    probed = PROBED if recipe["lambda"]["scale"] == "roughness" else 1.0
    each = min(EVALUATIONS, recipe["evaluations"])
    validation, test = extent.pairs["val"], extent.pairs["test"]
    # without validation pairs test pairs tell what is rough
    return lams * each * (probed * validation + test if validation else probed * test)


def _pretrainings(study: Study, dataset: str, extent: Size, scene: Mapping[str, Any]) -> Iterable[Kind]:
    recipe = study.pretraining(dataset)
    judges = min(JUDGES["pretrain"], extent.images["val"])
    for name in dict.fromkeys(name for where, name, _ in study.pretrainings() if where == dataset):
        task = {"job": "pretrain", **scene, "recipe": deciding(recipe), "name": name}
        work = Work(recipe["steps"], judges * _checks(recipe))
        yield Kind("pretrain", "pretrain", (dataset, name), len(study.seeds), work, task)


def _checks(recipe: Mapping[str, Any]) -> int:
    return ceil(recipe["steps"] / recipe["validate_every"])


def deciding(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a recipe what decides the cost of a step, and whether λ₀ is measured before it."""
    kept = {key: value for key, value in recipe.items() if key not in SCHEDULE}
    return {**kept, "scale": recipe["lambda"]["scale"]} if "lambda" in recipe else kept


def model(task: Mapping[str, Any]) -> Price:
    """Guess what a job takes from the number of voxels and the width of the network alone."""
    dims, voxels = len(task["shape"]), prod(task["shape"])
    if task["job"] == "score":
        seconds = Seconds(START["score"], SCORE[dims] * voxels)
        return Price(seconds, peak_mb=BASE_MB)
    recipe = task["recipe"]
    if task["job"] == "syn":
        seconds = SYN[dims] * voxels * (1 if recipe["variant"] == "mi" else 2)
        return Price(Seconds(START["syn"], seconds), None, BASE_MB, COMPRESSED * 4.0 * dims * voxels / 1e6)
    if task["job"] == "optimise":
        peak_mb = BASE_MB + VOXEL_BYTES * voxels * recipe["batch"] / 1e6
        # a control point stands for 2 voxels along every axis
        field_mb = COMPRESSED * 4.0 * dims * voxels / 2**dims / 1e6
        return Price(Seconds(START["optimise"], EVALUATION[dims] * voxels), None, peak_mb, field_mb)
    # a network of another kind is taken for a small one
    channels = recipe.get("architecture", recipe).get("channels") or [WIDTH[dims]]
    wider = max(1.0, channels[0] / WIDTH[dims]) ** 1.5
    peak_mb = BASE_MB + (VOXEL_BYTES + CHANNEL_BYTES * channels[0]) * voxels * recipe["batch"] / 1e6
    if task["job"] == "register":
        field_mb = COMPRESSED * 4.0 * dims * voxels / 1e6
        return Price(Seconds(START["register"], FIELD[dims] * voxels * wider), None, peak_mb, field_mb)
    step = STEP[dims] * voxels * wider
    weights = (
        4.0 * 3**dims * sum(2 * a * a + 4 * a * b for a, b in zip(channels, channels[1:] or channels, strict=False))
    )
    return Price(Seconds(START[task["job"]], step * recipe["batch"], step / 3), None, peak_mb, weights / 1e6)


NONE: Mapping[Any, Price] = MappingProxyType({})


def forecast(
    planned: Plan, records: Mapping[tuple[str | None, ...], Price] = NONE, measured: Mapping[str, Price] = NONE
) -> Forecast:
    """Estimate a whole study from nothing.

    Args:
        planned: the study.
        records: what :func:`recorded` found.
        measured: prices by :attr:`Kind.key`.
    """
    guess = _corrected(planned.kinds, measured)
    priced = [
        (kind, records.get((kind.job, *kind.who)) or measured.get(kind.key) or guess(kind)) for kind in planned.kinds
    ]
    study = planned.study
    fields = [kind.work.units * (price.file_mb or 0.0) for kind, price in priced if kind.job == "register"]
    chain = {kind.job: 0.0 for kind in planned.kinds}
    for kind, price in priced:
        chain[kind.job] = max(chain[kind.job], (price.gpu or price.core).of(kind.work))
    kept, held = _kept_mb(planned, priced), max(fields, default=0.0)
    if study.exports:
        kept += _exported_mb(planned)
    elif study.config["keep_fields"]:
        kept, held = kept + len(study.seeds) * sum(fields), 0.0
    return Forecast(
        _rules(planned, priced),
        sum(chain.values()) + sum(OTHERS.values()) + sum(LAST.values()) + PLOT,
        kept / 1e3,
        held / 1e3,
        max(price.peak_mb or 0.0 for _, price in priced),
        Counter(price.source for _, price in priced),
        tuple(file.name for file in _published(study) if file.size is None),
        tuple(dict.fromkeys(name for kind, price in priced if price.source == "modelled" and (name := _network(kind)))),
    )


def _network(kind: Kind) -> str | None:
    """Name the published network that a kind of job runs, which the model knows nothing of."""
    extractor = kind.task.get("extractor") or {}
    return extractor["name"] if "weights" in extractor else None


def _corrected(found: Iterable[Kind], measured: Mapping[str, Price]) -> Callable[[Kind], Price]:
    """Give the model, times what it was found to be wrong by where kinds of the same job were measured."""
    wrong: dict[str, list[float]] = {}
    for kind in found:
        if kind.key in measured:
            wrong.setdefault(kind.job, []).append(measured[kind.key].core.unit / model(kind.task).core.unit)

    def guess(kind: Kind) -> Price:
        price = model(kind.task)
        factor = median(wrong[kind.job]) if kind.job in wrong else 1.0
        return replace(price, core=Seconds(price.core.start, price.core.unit * factor, price.core.check * factor))

    return guess


def _rules(planned: Plan, priced: Iterable[tuple[Kind, Price]]) -> dict[str, Expected]:
    """Sum up the kinds of every rule."""
    study = planned.study
    prepared = len(study.prepared)
    own = sum("folder" in study.config["datasets"][name] for name in study.prepared)
    counts = {"simulate": prepared - own, "prepare": prepared, "data_sheet": len(study.datasets)}
    counts |= dict.fromkeys(PUBLISHED, len(study.published))
    each = OTHERS | PUBLISHED
    rules = {name: Expected(counts[name], counts[name] * (each[name] + SUBMIT)) for name in each}
    for kind, price in priced:
        before = rules.get(kind.rule, Expected(0, 0.0))
        core = kind.jobs * (price.core.of(kind.work) + SUBMIT)
        gpu = before.gpu_seconds
        if price.gpu is not None:
            gpu = (gpu or 0.0) + kind.jobs * price.gpu.of(kind.work)
        rules[kind.rule] = Expected(before.jobs + kind.jobs, before.core_seconds + core, gpu)
    rules["probe"] = _probes(study, planned.sizes)
    rules["given"] = _carried(planned, [run.dataset for run in study.givens()])
    rules["export"] = _carried(planned, [run.dataset for run in study.runs() for _ in study.exports])
    drawn = len(figures.names())
    rules |= {name: Expected(1, seconds + SUBMIT) for name, seconds in LAST.items()}
    return rules | {"plot": Expected(drawn, drawn * (PLOT + SUBMIT))}


def _carried(planned: Plan, datasets: Sequence[str]) -> Expected:
    """Reckon the jobs that read or write the fields of a run in another convention, one for each entry of a list."""
    seconds = 0.0
    for extent in map(planned.sizes.__getitem__, datasets):
        seconds += CARRIER + SUBMIT + CARRIED[len(extent.shape)] * prod(extent.shape) * sum(extent.pairs.values())
    return Expected(len(datasets), seconds)


def _exported_mb(planned: Plan) -> float:
    """Add up the fields of all runs at their chosen λ, in every convention that the study asks for."""
    each = {
        name: COMPRESSED * 4.0 * len(extent.shape) * prod(extent.shape) * sum(extent.pairs.values()) / 1e6
        for name, extent in planned.sizes.items()
    }
    return len(planned.study.exports) * sum(each[run.dataset] for run in planned.study.runs())


def _probes(study: Study, extents: Mapping[str, Size]) -> Expected:
    """Reckon the probing of every loss around the truth, one job for each loss; nobody measures it beforehand."""
    probed = [(dataset, *pair) for dataset in study.datasets for pair in study.combinations(dataset)]
    seconds = {loss: START["probe"] + SUBMIT for _, loss, _ in probed}
    for dataset, loss, _ in probed:
        sampling, extent = study.landscape(dataset), extents[dataset]
        pairs = min(sampling["pairs"], extent.pairs["test"])
        shifts = len(extent.shape) * SHIFTS
        values = pairs * (KINDS * sampling["lines"] * 2 * sampling["steps"] + 1 + shifts)
        wider = 1.0
        if losses.card(loss)["extractor"]:
            wider = max(1.0, study.pretraining(dataset)["channels"][0] / WIDTH[len(extent.shape)]) ** 1.5
        seconds[loss] += PROBE * values * prod(extent.shape) * wider
    return Expected(len(seconds), sum(seconds.values()))


def _published(study: Study) -> list[File]:
    return [file for name in study.published for file in study.source(name).files]


def _kept_mb(planned: Plan, priced: Iterable[tuple[Kind, Price]]) -> float:
    """Add up what stays on disk but for fields: data, weights, a sample of each training, records.

    Published weights count twice, as fetched and as converted; those whose size the project does not know are left out.
    """
    total = sum(2 * (file.size or 0) / 1e6 for file in _published(planned.study))
    for name, extent in planned.sizes.items():
        dims, parts = len(extent.shape), planned.study.capabilities[name]["parts"]
        each = sum(PART_BYTES.get(part, 0) for part in parts) + (4 * dims if "field" in parts else 0)
        own = "folder" in planned.study.config["datasets"][name]
        total += (1 if own else 1 + RAW) * each * prod(extent.shape) * sum(extent.images.values()) / 1e6
    for kind, price in priced:
        if kind.job == "pretrain":
            total += kind.jobs * (price.file_mb or 0.0)
        elif kind.job == "syn":
            total += kind.jobs * (kind.work.units * (price.file_mb or 0.0) + RECORDS_MB)
        elif kind.job == "optimise":
            # parameters of every pair and λ, and a field of the pair that figures show
            lams, pairs = len(planned.study.optimisation(*map(str, kind.who[:3]))["lambda"]["grid"]), kind.work.checks
            total += kind.jobs * (lams * pairs * (price.file_mb or 0.0) + RECORDS_MB)
        elif kind.job in ("train", "register"):
            # a network for every λ of the grid, and a field of the pair that figures show
            lams = len(planned.study.training(*map(str, kind.who[:3]))["lambda"]["grid"])
            total += kind.jobs * (lams * (price.file_mb or 0.0) + RECORDS_MB)
    return total
