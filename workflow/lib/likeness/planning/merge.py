"""Merge results of one study computed in parts on several machines.

The unit is a job: all its results are copied from one folder that has them completely. Folders that have the same job
must agree byte for byte, except for times and logs. Recipe, code and prepared data of a job must be those that the
study would use here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likeness import losses, metrics, results
from likeness.config.study import Study
from likeness.methods.kinds import UNREGISTERED
from likeness.results import TRUTH, Run
from likeness.runtime.atomic import atomic_write
from likeness.runtime.provenance import code_digest, folder_digest
from likeness.userinput.errors import UserError

SCRIPTS = Path(__file__).parents[3] / "scripts"


@dataclass(frozen=True)
class Job:
    """A job of the study whose results can be copied.

    Attributes:
        rule: name of the rule, as in its record.
        place: path of its results, below the folders for each kind of result.
        made: its results, relative to the results folder; two runs produce the same bytes.
        modules: modules that its script imports dynamically.
        after: job that it depends on.
        said: file among its results that states its inputs, and the expected content; ``None`` if there is none.
    """

    rule: str
    place: str
    made: tuple[str, ...]
    modules: tuple[str, ...] = ()
    after: Job | None = None
    said: tuple[str, Mapping[str, Any]] | None = None

    @property
    def record(self) -> str:
        """Path of the record of its duration, which differs between runs."""
        return results.record(self.rule, self.place)

    @property
    def log(self) -> str:
        """Path of its log, which can be missing."""
        return results.log(self.rule, self.place)

    def complete(self, folder: Path) -> bool:
        """Return whether a results folder has all results of the job and of those that it depends on."""
        if self.after is not None and not self.after.complete(folder):
            return False
        return all((folder / path).exists() for path in (*self.made, self.record))


@dataclass(frozen=True)
class Parts:
    """Sources of the results of every job.

    Attributes:
        taken: jobs to copy and the results folders that have them, in the order of the workflow.
        kept: jobs that the study's results already have.
        left: jobs that no folder has.
    """

    taken: list[tuple[Job, Path]]
    kept: list[Job]
    left: list[Job]


def jobs(study: Study) -> list[Job]:
    """List the jobs whose results can be copied, each after those that it depends on."""
    published = {name: _conversion(study, name) for name in study.published}
    trained = {learnt: _pretraining(study, *learnt) for learnt in study.pretrainings()}
    chains = [_chain(study, training, trained, published) for training in study.trainings()]
    runs = [run for run in study.optimisations() if _on_its_own(study, run)]
    searched = [_optimisation(study, run, trained, published) for run in runs]
    alone = [_scoring(Run(dataset, UNREGISTERED), (results.SCORES,)) for dataset in study.datasets]
    classical = [_classical(study, run, trained, published) for run in study.classical()]
    return [
        *published.values(),
        *trained.values(),
        *alone,
        *(job for stage in zip(*chains, strict=True) for job in stage),
        *(job for stage in zip(*searched, strict=True) for job in stage),
        *(job for stage in zip(*classical, strict=True) for job in stage),
        *(job for run in study.givens() for job in _given(study, run)),
        *(_audit(study, run, search) for run, (search, _) in zip(runs, searched, strict=True) if _audited(study, run)),
    ]


def _on_its_own(study: Study, run: Run) -> bool:
    """Return whether a search starts from no other method; otherwise it is repeated, as those fields can be missing."""
    return study.optimisation(run.dataset, run.method, str(run.loss))["start"] in (None, TRUTH)


def _audited(study: Study, run: Run) -> bool:
    """Return whether the audit of a run depends on nothing else; without a truth it depends on other losses."""
    return study.audited(run.dataset, run.method) > 0 and "field" in study.capabilities[run.dataset]["parts"]


def _audit(study: Study, run: Run, search: Job) -> Job:
    made = (run.path(results.AUDIT), run.path(results.TRACE))
    said = (results.record("audit", run.place), {"pairs": study.audited(run.dataset, run.method)})
    return Job("audit", run.place, made, search.modules, search, said)


def _chain(
    study: Study,
    training: tuple[str, str, str, str, int],
    trained: Mapping[tuple[str, str, int], Job],
    published: Mapping[str, Job],
) -> tuple[Job, Job, Job]:
    """List the jobs of a run with a trained network: training, registration, scoring."""
    dataset, method, loss, variant, _ = training
    run = Run(*training)
    extractor = _extractor(study, run, trained, published)
    net = f"likeness.networks.{study.methods[method].kind}"
    said = {
        "options": losses.completed(loss, study.options(loss, variant)),
        "recipe": study.training(dataset, method, loss),
    }
    models, modules = run.path(results.MODELS), (net, *_scored_by(study, dataset), *losses.modules(loss))
    train = Job("train", run.place, (models,), modules, extractor, (f"{models}/provenance.json", said))
    fields = (run.path(results.FIELDS),) if study.config["keep_fields"] is True else ()
    register = Job("register", run.place, fields, (net,), train)
    return train, register, _scoring(run, _scored(study), register)


def _scored_by(study: Study, dataset: str) -> list[str]:
    """List the module of the primary metric of a dataset."""
    return metrics.modules(metrics.primary(study.capabilities[dataset]["parts"]))


def _given(study: Study, run: Run) -> tuple[Job, Job]:
    """List the jobs of a run with given fields: reading, scoring."""
    fields = (run.path(results.FIELDS),) if study.config["keep_fields"] is True else ()
    read = Job("given", run.place, fields)
    return read, _scoring(run, _scored(study), read)


def _optimisation(
    study: Study, run: Run, trained: Mapping[tuple[str, str, int], Job], published: Mapping[str, Job]
) -> tuple[Job, Job]:
    """List the jobs of a run with per-pair optimisation: search, scoring."""
    assert run.loss is not None
    assert run.variant is not None
    recipe = study.optimisation(run.dataset, run.method, run.loss)
    fields = run.path(results.FIELDS)
    options = losses.completed(run.loss, study.options(run.loss, run.variant))
    said = (f"{fields}/provenance.json", {"options": options, "recipe": recipe})
    extractor = _extractor(study, run, trained, published)
    search = Job(
        "optimise", run.place, (fields,), (*_scored_by(study, run.dataset), *losses.modules(run.loss)), extractor, said
    )
    return search, _scoring(run, _scored(study), search)


def _classical(
    study: Study, run: Run, trained: Mapping[tuple[str, str, int], Job], published: Mapping[str, Job]
) -> tuple[Job, Job]:
    """List the jobs of a run of a classical method: registration, scoring."""
    fields = run.path(results.FIELDS)
    said = (f"{fields}/provenance.json", {"recipe": study.classical_recipe(run.method, str(run.variant))})
    extractor = _extractor(study, run, trained, published)
    modules = [f"likeness.methods.{study.methods[run.method].kind}", *(extractor.modules if extractor else ())]
    register = Job("classical", run.place, (fields,), tuple(modules), extractor, said)
    return register, _scoring(run, _scored(study), register)


def _extractor(
    study: Study, run: Run, trained: Mapping[tuple[str, str, int], Job], published: Mapping[str, Job]
) -> Job | None:
    """Return the job that created the extractor of a run; ``None`` if it has none."""
    features, learnt = study.features(run), study.learnt(run)
    if features is None:
        return None
    if learnt is None:
        return published.get(losses.card(features[0])["extractor"] or "")
    assert run.seed is not None
    return trained[*learnt, run.seed]


def _scored(study: Study) -> tuple[str, ...]:
    """List the patterns of results that remain from fields: scores, searches, samples, and exports if requested."""
    exports = (results.EXPORT.replace("{convention}", convention) for convention in study.exports)
    return results.SCORES, results.SEARCH, results.SAMPLE, *exports


def _scoring(run: Run, patterns: tuple[str, ...], after: Job | None = None) -> Job:
    return Job("score", run.place, tuple(run.path(pattern) for pattern in patterns), tuple(metrics.modules()), after)


def _pretraining(study: Study, dataset: str, extractor: str, seed: int) -> Job:
    place = results.PRETRAINED.format(dataset=dataset, extractor=extractor, seed=seed)
    made = tuple(f"extractors/{place}.{suffix}" for suffix in ("safetensors", "json", "csv"))
    said = (made[1], {"recipe": study.pretraining(dataset)})
    return Job("pretrain", place, made, (f"likeness.extractors.{extractor}",), None, said)


def _conversion(study: Study, extractor: str) -> Job:
    # including the record of the files, without which the workflow would download them again
    made = (f"extractors/{extractor}.safetensors", f"extractors/{extractor}.json", f"checkpoints/{extractor}.json")
    said = (made[1], {"hashes": study.source(extractor).hashes})
    return Job("convert", extractor, made, (f"likeness.extractors.{extractor}",), None, said)


def parts(study: Study, sources: Sequence[Path]) -> Parts:
    """Determine the source of every job's results.

    Args:
        study: complete study.
        sources: results folders of parts of it.

    Raises:
        UserError: if two folders disagree, or one has results that the study would compute differently, or none of its
            jobs.
    """
    own = Path(study.results)
    for source in sources:
        _check_source(source, own)
    found = Parts([], [], [])
    used = set()
    for job in jobs(study):
        having = [place for place in (own, *sources) if job.complete(place)]
        for place in having:
            if place != own:
                used.add(place)
                _check_origin(job, place, study.file)
        for other in having[1:]:
            _check_alike(job, having[0], other)
        if not having:
            found.left.append(job)
        elif having[0] == own:
            found.kept.append(job)
        else:
            found.taken.append((job, having[0]))
    for source in sources:
        if source not in used:
            msg = f"{source}: has no finished job of {study.file}; name the configuration of the whole study, CONFIG=…"
            raise UserError(msg)
    return found


def _check_source(source: Path, own: Path) -> None:
    if not source.is_dir():
        msg = f"{source}: no such folder; name the results of another run of the study, FROM=…"
        raise UserError(msg)
    if source.resolve() == own.resolve():
        msg = f"{source}: this is the study's own results folder; name those to merge into it, FROM=…"
        raise UserError(msg)


def _check_origin(job: Job, folder: Path, study: str) -> None:
    """Reject results that the study would compute differently here."""
    record = folder / job.record
    known = _json(record)
    if known.get("code") != code_digest(SCRIPTS / f"{job.rule}.py", *job.modules):
        msg = f"{record}: was computed with different code (commit {known.get('commit', 'unknown')}); "
        raise UserError(msg + "use the same commit, or delete this result so that it is computed again")
    if job.said is None:
        return
    path, wanted = folder / job.said[0], json.loads(json.dumps(job.said[1]))
    said = _json(path)
    for block, entries in wanted.items():
        found = said.get(block, {})
        if not isinstance(entries, dict):
            entries, found = {block: entries}, {block: said.get(block)}
        for key in {**entries, **found}:
            here, there = entries.get(key), found.get(key)
            if here != there:
                msg = f"{path}: was computed with {key} {there!r}, but {study} has {here!r}; use one configuration"
                raise UserError(msg)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        msg = f"{path}: cannot be read; copy the results again"
        raise UserError(msg) from None


def _check_alike(job: Job, one: Path, other: Path) -> None:
    for made in job.made:
        files = {path for folder in (one, other) for path in _files(folder / made)}
        for path in sorted(files):
            first, second = (folder / made / path for folder in (one, other))
            if not (first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes()):
                msg = f"{second}: differs from {first}, although both are of one job; delete the results of one of them"
                raise UserError(msg)


def _files(path: Path) -> Iterable[Path]:
    """List the files of a folder, or a file itself, relative to it; hidden ones are not results."""
    if path.is_file():
        return [Path()]
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.parts)]


def check_data(study: Study, sources: Sequence[Path]) -> None:
    """Reject results from different prepared data, which would not be comparable.

    Raises:
        UserError: at the first dataset that differs or is missing.
    """
    for dataset in study.datasets:
        here = Path(study.results) / "data" / dataset
        for there in (source / "data" / dataset for source in sources if _used(study, source, dataset)):
            if not there.is_dir():
                msg = f"{there}: missing, so the data behind the results are unknown; copy the complete results"
                raise UserError(msg)
            if folder_digest(there) != folder_digest(here):
                msg = f"{there}: differs from {here}, so scores are not comparable; run both parts on the same data"
                raise UserError(msg)


def _used(study: Study, source: Path, dataset: str) -> bool:
    return any(job.complete(source) for job in jobs(study) if job.place.startswith(f"{dataset}/"))


def take(found: Parts, own: Path) -> None:
    """Copy results, each file atomically, and each job after those that it depends on.

    If interrupted, every job is either complete or incomplete, and another call resumes.
    """
    for job, source in found.taken:
        if (source / job.log).is_file():
            _copy(source / job.log, own / job.log)
        for path in (*job.made, job.record):
            _copy(source / path, own / path)


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        if source.is_dir():
            shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(".*"), copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, temporary)
