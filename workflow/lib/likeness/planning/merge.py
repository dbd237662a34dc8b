"""Results of one study that several machines made in parts become one: what is copied, and what is refused.

The unit is a job: what it made is taken whole from a folder of results that has all of it. Two folders that both have a
job must agree on every byte but on times and logs. What a job was made from must be what the study makes it from here:
the recipe, the code and the prepared data.
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
    """A job of the study whose results can be taken from elsewhere.

    Attributes:
        rule: what it does, as its record says.
        place: where its results lie, below the folders of their kind.
        made: what it made, relative to the results; two runs of it agree on every byte.
        modules: what its script imports by a computed name.
        after: the job that it builds upon.
        said: the file among its results that says what it was made from, if there is one, and what it has to say.
    """

    rule: str
    place: str
    made: tuple[str, ...]
    modules: tuple[str, ...] = ()
    after: Job | None = None
    said: tuple[str, Mapping[str, Any]] | None = None

    @property
    def record(self) -> str:
        """What the job took, which differs from run to run."""
        return results.record(self.rule, self.place)

    @property
    def log(self) -> str:
        """Its log, which may be missing."""
        return results.log(self.rule, self.place)

    def complete(self, folder: Path) -> bool:
        """Tell whether a folder of results has all that the job made, and all that it was made from."""
        if self.after is not None and not self.after.complete(folder):
            return False
        return all((folder / path).exists() for path in (*self.made, self.record))


@dataclass(frozen=True)
class Parts:
    """What is to be taken from where.

    Attributes:
        taken: jobs with the folder of results that has them, in the order of the workflow.
        kept: jobs that the study's own results have already.
        left: jobs that nobody has.
    """

    taken: list[tuple[Job, Path]]
    kept: list[Job]
    left: list[Job]


def jobs(study: Study) -> list[Job]:
    """List the jobs whose results can be taken, each after those that it builds upon."""
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
    """Tell whether a search starts from no other method, whose fields may be gone; one that does is made anew."""
    return study.optimisation(run.dataset, run.method, str(run.loss))["start"] in (None, TRUTH)


def _audited(study: Study, run: Run) -> bool:
    """Tell whether the audit of a run depends on nothing else: without a truth it does on what other losses found."""
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
    """List the jobs of a run that trains a network: training, registration, scoring."""
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
    """Name the module of the metric that a dataset is scored by first."""
    return metrics.modules(metrics.primary(study.capabilities[dataset]["parts"]))


def _given(study: Study, run: Run) -> tuple[Job, Job]:
    """List the jobs of a run whose fields were given: reading them, scoring."""
    fields = (run.path(results.FIELDS),) if study.config["keep_fields"] is True else ()
    read = Job("given", run.place, fields)
    return read, _scoring(run, _scored(study), read)


def _optimisation(
    study: Study, run: Run, trained: Mapping[tuple[str, str, int], Job], published: Mapping[str, Job]
) -> tuple[Job, Job]:
    """List the jobs of a run that optimises each pair: the search, scoring."""
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
    """List the jobs of a run of SyN: the registration, scoring."""
    fields = run.path(results.FIELDS)
    said = (f"{fields}/provenance.json", {"recipe": study.syn(run.method, str(run.variant))})
    extractor = _extractor(study, run, trained, published)
    register = Job("syn", run.place, (fields,), extractor.modules if extractor else (), extractor, said)
    return register, _scoring(run, _scored(study), register)


def _extractor(
    study: Study, run: Run, trained: Mapping[tuple[str, str, int], Job], published: Mapping[str, Job]
) -> Job | None:
    """Give the job that made the extractor of a run, if it has one."""
    features, learnt = study.features(run), study.learnt(run)
    if features is None:
        return None
    if learnt is None:
        return published.get(losses.card(features[0])["extractor"] or "")
    assert run.seed is not None
    return trained[*learnt, run.seed]


def _scored(study: Study) -> tuple[str, ...]:
    """List what is left of the fields of a run: scores, and where the study asks for it, they in other conventions."""
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
    # the record of the files too, without which the workflow would fetch them again
    made = (f"extractors/{extractor}.safetensors", f"extractors/{extractor}.json", f"checkpoints/{extractor}.json")
    said = (made[1], {"hashes": study.source(extractor).hashes})
    return Job("convert", extractor, made, (f"likeness.extractors.{extractor}",), None, said)


def parts(study: Study, sources: Sequence[Path]) -> Parts:
    """Find out what to take from where.

    Args:
        study: the whole study.
        sources: folders of results that ran parts of it.

    Raises:
        UserError: if two folders do not agree, if one has results of something else than the study's, or none at all.
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
            msg = f"{source}: has no finished job of {study.file}; name the configuration of the whole, CONFIG=…"
            raise UserError(msg)
    return found


def _check_source(source: Path, own: Path) -> None:
    if not source.is_dir():
        msg = f"{source}: no such folder; name the results of another run of the study, FROM=…"
        raise UserError(msg)
    if source.resolve() == own.resolve():
        msg = f"{source}: these are the study's own results; name those to merge into them, FROM=…"
        raise UserError(msg)


def _check_origin(job: Job, folder: Path, study: str) -> None:
    """Refuse what was not made as the study would make it here."""
    record = folder / job.record
    known = _json(record)
    if known.get("code") != code_digest(SCRIPTS / f"{job.rule}.py", *job.modules):
        msg = f"{record}: was made by other code than this project's (commit {known.get('commit', 'unknown')}); "
        raise UserError(msg + "merge with that, or leave this result out and let it be made again")
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
                msg = f"{path}: was made with {key} {there!r}, but {study} says {here!r}; merge with one configuration"
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
                msg = f"{second}: differs from {first}, though both are of one job; delete the results of one of them"
                raise UserError(msg)


def _files(path: Path) -> Iterable[Path]:
    """List the files of a folder, or of a file itself, relative to it; hidden ones are not results."""
    if path.is_file():
        return [Path()]
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.parts)]


def check_data(study: Study, sources: Sequence[Path]) -> None:
    """Refuse results from prepared data other than those here, which would not be comparable.

    Raises:
        UserError: at the first dataset that differs, or that is missing.
    """
    for dataset in study.datasets:
        here = Path(study.results) / "data" / dataset
        for there in (source / "data" / dataset for source in sources if _used(study, source, dataset)):
            if not there.is_dir():
                msg = f"{there}: missing, so that nobody can tell what the results are from; copy all of the results"
                raise UserError(msg)
            if folder_digest(there) != folder_digest(here):
                msg = f"{there}: differs from {here}, so that scores are not comparable; run both parts on one dataset"
                raise UserError(msg)


def _used(study: Study, source: Path, dataset: str) -> bool:
    return any(job.complete(source) for job in jobs(study) if job.place.startswith(f"{dataset}/"))


def take(found: Parts, own: Path) -> None:
    """Copy what is to be taken, each file whole or not at all, each job after those that it builds upon.

    Interrupted, it leaves jobs that are all there and jobs that are not; called again, it goes on.
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
