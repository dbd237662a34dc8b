"""Checks across several parts of a configuration; each yields the key and the problem.

Constraints on single values are part of the models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness import losses, metrics
from likeness.config import dataset_file, tuning
from likeness.config.entries import trains_extractor
from likeness.data import layout
from likeness.datasets import catalogue
from likeness.extractors import sources
from likeness.losses import TRAINED_ON
from likeness.methods import given, kinds
from likeness.results import TRUTH, Run
from likeness.userinput.errors import ConfigurationError, DatasetError, plain, suggest

if TYPE_CHECKING:
    from likeness.config.study import Study


MOST_CONTRASTS = 10
"""Maximum number of contrasts on a dataset; with more, hardly any could be confirmed."""
MOST_COMBINATIONS = 1000
"""Maximum number of combinations of values from which the trials of a loss are drawn."""
Found = Iterator[tuple[str, str]]
"""Key, and a message with the problem and the fix."""


def check(study: Study) -> None:
    """Check a study that is valid for its model, and store the capabilities of its datasets in it.

    Names and folders are checked first; what depends on them is checked only if these are valid.

    Raises:
        ConfigurationError: with one line for every problem.
    """
    for stage in (_NAMES, _WHOLE):
        _refuse(study, (fault for find in stage for fault in find(study)))


def check_space(study: Study) -> None:
    """Check what trials are drawn from, before they are.

    Raises:
        ConfigurationError: with one line for every problem.
    """
    _refuse(study, _check_space(study))


def _refuse(study: Study, faults: Iterable[tuple[str, str]]) -> None:
    lines = [line(study, key, what) for key, what in dict.fromkeys(faults)]
    if lines:
        raise ConfigurationError("\n".join(lines))


def line(study: Study, key: str, what: str) -> str:
    """Format a message about a key of the study's file."""
    return f"{plain(study.file)}: key '{key}': {what}"


def _check_results(study: Study) -> Found:
    """Reject a results path that goes through a file, which would make Snakemake fail with a traceback."""
    for place in (Path(study.results), *Path(study.results).parents):
        with suppress(OSError):
            if place.is_file():
                yield "results", f"'{place}' is a file; name a folder"


def _check_methods(study: Study) -> Found:
    for name, entry in study.config["methods"].items():
        yield from _check_forms(name, kinds.card(entry["kind"]).get("variants", {}), entry.get("variants", []))
        if entry["kind"] == given.KIND:
            try:
                given.check(entry["fields"], entry["convention"], study.config["datasets"])
            except DatasetError as error:
                yield f"methods.{name}.fields", str(error)


def _check_forms(name: str, own: Mapping[str, str], forms: Sequence[str]) -> Found:
    """Reject a variant of a method that is neither its own nor a loss whose features it could use."""
    able = [*own, *(loss for loss in losses.names() if _has_features(losses.card(loss)))]
    for form in forms:
        if form not in able:
            said = f"'{plain(form)}' is neither a variant of this method nor a loss of features without noise"
            yield f"methods.{name}.variants", f"{said}; {suggest(form, able)}"


def _has_features(card: Mapping[str, Any]) -> bool:
    """Return whether a loss compares features that depend on a single image only, in at least one dimensionality."""
    return card["extractor"] is not None and not {*card["dimensions"]} <= {*card.get("noise", {})}


def _check_effects(study: Study) -> Found:
    """Reject an option that has no effect given the others, as its variant would equal the one it is compared with."""
    for loss in study.config["losses"]:
        yield from _without_effect(study, loss)


def _without_effect(study: Study, loss: str) -> Found:
    own, limits, entry = losses.options(loss), losses.limits(loss), study.config["losses"][loss]
    for stated_in in ["options", *entry["variants"]]:
        stated = entry["options"] if stated_in == "options" else entry["variants"][stated_in]
        for option in (key for key, value in stated.items() if key in limits and value != own[key]):
            takers = [stated_in]
            if stated_in == "options":
                # an option of the loss may be meant for variants that inherit it and change the other option
                takers = ["default", *(name for name, over in entry["variants"].items() if option not in over)]
            for partner, wanted in limits[option].get("with", {}).items():
                found = [{**own, **study.options(loss, taker)}[partner] for taker in takers]
                if wanted not in found:
                    key = stated_in if stated_in == "options" else f"variants.{stated_in}"
                    said = f"has no effect while `{partner}` is '{found[0]}'; set that to '{wanted}'"
                    yield f"losses.{loss}.{key}.{option}", f"{said}, or remove this key"


def _check_space(study: Study) -> Found:
    """Reject values to try without trials, or of a loss that the study lacks, and more than can be drawn from."""
    tune = study.config["tune"]
    if tune["space"] and not tune["trials"]:
        yield "tune.space", "has no effect without trials; set `tune.trials`, or remove this key"
    yield from _check_losses_named(study, "tune.space", tune["space"])
    for loss in study.config["losses"]:
        count = tuning.size(tuning.space(loss, tune))
        if count > MOST_COMBINATIONS:
            said = f"{count} combinations of the options of '{loss}'; give at most {MOST_COMBINATIONS}"
            yield f"tune.space.{loss}", f"{said}, by fewer values or fewer options"


def _check_subsets(study: Study) -> Found:
    yield from _check_subset(study, "only_losses", losses.names())
    yield from _check_subset(study, "skip_losses", losses.names())
    yield from _check_subset(study, "only_datasets", list(study.config["datasets"]))


def _check_subset(study: Study, key: str, known: list[str]) -> Found:
    for name in study.config[key].split():
        if name not in known:
            yield key, f"the study has no '{plain(name)}'; {suggest(name, known)}"


def _check_losses_named(study: Study, key: str, names: Sequence[str]) -> Found:
    for name in names:
        if name not in study.config["losses"]:
            yield key, f"the study has no loss '{plain(name)}'; {suggest(name, study.config['losses'])}"


def _check_methods_named(study: Study, key: str, names: Sequence[str]) -> Found:
    methods = study.config["methods"]
    forms = [f"{method}/{form}" for method, entry in methods.items() for form in entry.get("variants", [])]
    for name in names:
        if name not in (*methods, *forms):
            yield key, f"the study has no method '{plain(name)}'; {suggest(name, [*methods, *forms])}"


def _check_datasets(study: Study) -> Found:
    for name, entry in study.config["datasets"].items():
        for kind in ("training", "optimisation"):
            if "scale" in entry[kind].get("lambda", {}):
                said = f"the scale must be the same for all datasets; set it under `{kind}.lambda`"
                yield f"datasets.{name}.{kind}.lambda.scale", said
        yield from _check_losses_named(study, f"datasets.{name}.without_losses", entry["without_losses"])
        yield from _check_methods_named(study, f"datasets.{name}.without_methods", entry["without_methods"])


def _check_folders(study: Study) -> Found:
    """Reject unusable dataset folders, and store the capabilities of the others."""
    for name in study.prepared:
        entry = study.config["datasets"][name]
        if "folder" not in entry:
            study.capabilities[name] = catalogue.describe(entry["recipe"])
            continue
        try:
            dataset_file.check(entry["folder"])
            study.capabilities[name] = layout.capabilities(Path(entry["folder"]))
        except DatasetError as error:
            yield from ((f"datasets.{name}.folder", said) for said in str(error).splitlines())


def _transfers(study: Study) -> Iterator[tuple[str, str, str, str]]:
    """List variants that use an extractor trained on another dataset: loss, variant, dataset, configuration key."""
    for loss in study.losses:
        for variant in study.variants(loss):
            name = study.options(loss, variant).get(TRAINED_ON)
            if name is not None:
                yield loss, variant, name, f"losses.{loss}.variants.{variant}.{TRAINED_ON}"


def _check_origins(study: Study) -> Found:
    """Reject an extractor from a dataset that is not part of the study."""
    for _, _, name, key in _transfers(study):
        if name not in study.config["datasets"]:
            yield key, f"the study has no dataset '{plain(name)}'; {suggest(name, study.config['datasets'])}"


def _check_transfers(study: Study) -> Found:
    """Reject an extractor from a dataset on which it cannot be trained, or that fits no other dataset."""
    for loss, variant, name, key in _transfers(study):
        dims = study.capabilities[name]["spatial_dims"]
        if reason := study.inapplicable(name, loss):
            yield key, f"no extractor can be trained on '{name}': {reason}; name another dataset"
        elif all(study.not_transferred(dataset, loss, variant) for dataset in study.datasets):
            said = f"no dataset of this run other than '{name}' has {dims}D images like it"
            yield key, f"{said}; name another dataset, or remove the variant"


def _check_sources(study: Study) -> Found:
    """Reject an alternative Hugging Face model for an extractor that does not come from the hub."""
    named = study.config["checkpoints"]["sources"]
    able = [path.stem for path in sorted(sources.FOLDER.glob("*.py")) if named and _hub(path.stem)]
    for name in named:
        if name not in able:
            said = f"the weights of '{plain(name)}' do not come from a Hugging Face model, so none can replace them"
            yield f"checkpoints.sources.{plain(name)}", f"{said}; {suggest(name, able)}"


def _check_hashes(study: Study) -> Found:
    """Reject a hash that belongs to no file."""
    for name, stated in study.config["checkpoints"]["hashes"].items():
        key = f"checkpoints.hashes.{plain(name)}"
        found = sources.source(name)
        if found is None:
            yield key, f"there is no extractor '{plain(name)}' with published weights; remove the key"
            continue
        files = list(found.hashes)
        for file in [] if isinstance(stated, str) else stated:
            if file not in files:
                yield key, f"{name} has no file '{plain(file)}'; {suggest(file, files)}"
        if isinstance(stated, str) and len(files) > 1:
            yield key, f"{name} has {len(files)} files; give a block with the hash of each"


def _check_contrasts(study: Study) -> Found:
    """Reject a contrast between names that are not compared, of an option or a claim that is not there, or too many."""
    known = [
        f"{loss}/{form}" if form != "default" else loss
        for loss in study.config["losses"]
        for form in study.variants(loss)
    ]
    leading = [name for name, method in study.methods.items() if method.uses_loss]
    for name in study.methods.keys() - set(leading):
        forms = study.config["methods"].get(name, {}).get("variants", [])
        known += [f"{name}/{form}" for form in forms] or [name]
    wanted = {"a": known, "b": known, "method": leading, "metric": metrics.names()}
    wanted["claim"] = list(study.config["claims"])
    for number, contrast in enumerate(study.config["contrasts"]):
        stated = [(key, contrast[key], names) for key, names in wanted.items() if contrast[key] is not None]
        stated += [("best_of", name, known) for name in contrast["best_of"]]
        stated += [("datasets", name, list(study.config["datasets"])) for name in contrast["datasets"]]
        for key, name, names in stated:
            if name not in names:
                what = f"'{plain(name)}' to compare" if key in ("a", "b", "best_of") else f"{key} '{plain(name)}'"
                yield f"contrasts.{number}.{key}", f"there is no {what}; {suggest(name, names)}"
        if (contrast["b"] is None) != bool(contrast["best_of"]):
            yield f"contrasts.{number}.b", "what is it compared with? Give either `b` or `best_of`"
        elif contrast["a"] in (contrast["b"], *contrast["best_of"]):
            key = "best_of" if contrast["best_of"] else "b"
            yield f"contrasts.{number}.{key}", "is what it is compared with; name another"
        if contrast["over"]:
            yield from _check_over(study, number, contrast)
    yield from _check_number_of_contrasts(study, len(leading))


def _check_over(study: Study, number: int, contrast: Mapping[str, Any]) -> Found:
    """Reject slopes over an option that the datasets lack, or that has the same value everywhere."""
    there = [study.numbers[name] for name in contrast["datasets"] if name in study.config["datasets"]]
    key, over = f"contrasts.{number}.over", plain(contrast["over"])
    lacking = next((found for found in there if contrast["over"] not in found), None)
    if lacking is not None:
        yield key, f"not all of its datasets have an option '{over}' that is a number; {suggest(over, list(lacking))}"
    elif len({found[contrast["over"]] for found in there}) < 2:
        yield key, f"needs `datasets`, at least two, with different values of `options.{over}`; name them"


def _check_number_of_contrasts(study: Study, leading: int) -> Found:
    for name in study.config["datasets"]:
        here = [
            one
            for one in study.config["contrasts"]
            if not one["over"] and (not one["datasets"] or name in one["datasets"])
        ]
        count = sum(1 if one["method"] else leading for one in here)
        if count > MOST_CONTRASTS:
            said = f"{count} contrasts on '{name}', counted once for every method; state at most {MOST_CONTRASTS}"
            yield "contrasts", f"{said}, or hardly any can be confirmed"


def _check_applicable(study: Study) -> Found:
    """Reject a study without any runs."""
    if next(study.runs(), None) is None:
        dataset, loss = study.datasets[0], study.losses[0]
        only = losses.card(loss).get("only_trained", "the study leaves out the methods that would use it")
        reason = study.inapplicable(dataset, loss) or only
        yield "losses", f"no loss applies to any dataset, '{loss}' not to '{dataset}': {reason}; add another"
        return
    ran, dataset = {(run.method, run.variant) for run in study.runs()}, study.datasets[0]
    for name, entry in study.config["methods"].items():
        for form in entry.get("variants", []):
            left_out = f"{name}/{form}" in study.config["datasets"][dataset]["without_methods"]
            if form in losses.names() and (name, form) not in ran and not left_out:
                reason = study.inapplicable(dataset, form) or "it draws random slices of volumes"
                said = f"'{form}' applies to no dataset, not to '{dataset}': {reason}"
                yield f"methods.{name}.variants", f"{said}; leave it out, or add a dataset"


def _check_levels(study: Study) -> Found:
    """Reject a level or tap that the extractor pretrained by the study does not have."""
    for dataset, loss, variant in ((name, *pair) for name in study.datasets for pair in study.combinations(name)):
        options = study.options(loss, variant)
        levels, taps = options.get("levels"), options.get("taps")
        if (levels or taps) and trains_extractor(loss):
            learnt = options.get(TRAINED_ON) or dataset
            stages = len(study.pretraining(learnt)["channels"])
            key = f"losses.{loss}.{'options' if variant == 'default' else f'variants.{variant}'}"
            key = f"tune.space.{loss}" if tuning.is_trial(variant) else key
            if levels and max(levels) >= stages:
                said = f"{levels} exceeds the {stages} levels of the extractor trained on '{learnt}', 0 to {stages - 1}"
                yield f"{key}.levels", f"{said}; choose others or add stages to `pretraining`"
            possible = ["middle", *(f"up{stage}" for stage in range(stages))]
            unknown = next((tap for tap in taps or [] if tap not in possible), None)
            if unknown is not None:
                said = f"the extractor trained on '{learnt}' has no tap '{plain(unknown)}', only {', '.join(possible)}"
                yield f"{key}.taps", f"{said}; choose one of these or add stages to `pretraining`"


def _check_splits(study: Study) -> Found:
    """Reject training on a dataset without training or validation images."""
    learners = {dataset: f"the network of '{loss}' by '{method}'" for dataset, method, loss, *_ in study.trainings()}
    learners |= {dataset: f"the extractor '{name}'" for dataset, name, _ in study.pretrainings()}
    for dataset, who in learners.items():
        for split in ("train", "val"):
            if split not in study.capabilities[dataset]["splits"]:
                said = f"split '{split}' has no images, but {who} is trained on '{dataset}'; add some to images.csv"
                yield f"datasets.{dataset}", f"{said}, or exclude it with `without_losses` or `without_methods`"


def _check_separate(study: Study) -> Found:
    """Reject names under ``separate`` that are no losses of the study."""
    places: dict[str, Mapping[str, Any]] = {"optimisation": study.config["optimisation"]}
    for kind in ("datasets", "methods"):
        places |= {f"{kind}.{name}.optimisation": e.get("optimisation", {}) for name, e in study.config[kind].items()}
    for place, block in places.items():
        yield from _check_losses_named(study, f"{place}.separate", block.get("separate", []))


def _check_starts(study: Study) -> Found:
    """Reject an optimisation whose start does not exist or depends on itself."""
    runs = [run for run in study.optimisations() if run.loss]
    starts = {run: study.optimisation(run.dataset, run.method, str(run.loss))["start"] for run in runs}
    for run, start in starts.items():
        if start is not None and (said := _no_start(study, run, start) or _circle(study, run, starts)):
            yield _key_of_start(study, run), said


def _no_start(study: Study, run: Run, start: str) -> str | None:
    """Explain why a run has nothing to start from; ``None`` if it has."""
    others = [name for name in study.methods if name != kinds.UNREGISTERED]
    if start == TRUTH and "field" not in study.capabilities[run.dataset]["parts"]:
        return f"'{run.dataset}' has no true fields; set it only for datasets that have them, or name a method"
    if start not in (TRUTH, *others):
        return f"the study has no method '{plain(start)}'; {suggest(start, [TRUTH, *others])}"
    if start in others and study.methods[start].kind == given.KIND and study.given(run.dataset, start) is None:
        return f"'{start}' has no fields of '{run.dataset}'; provide them, or set it only for other datasets"
    return None


def _circle(study: Study, run: Run, starts: Mapping[Run, str | None]) -> str | None:
    """Describe a cycle of methods that start from one another; ``None`` if there is none."""
    passed, start = [run.method], starts[run]
    while start in study.methods and start not in passed:
        passed.append(str(start))
        start = starts.get(run._replace(method=str(start)))
    if start not in passed:
        return None
    said = ", which starts from ".join(f"'{name}'" for name in [*passed, start])
    return f"{said}; one of them has to start elsewhere"


def _key_of_start(study: Study, run: Run) -> str:
    """Return the configuration key that sets the start of a run: that of its method, its dataset or the study."""
    for kind, name in (("methods", run.method), ("datasets", run.dataset)):
        if "start" in study.config[kind][name]["optimisation"]:
            return f"{kind}.{name}.optimisation.start"
    return "optimisation.start"


def _hub(extractor: str) -> str:
    found = sources.source(extractor)
    return found.hub if found else ""


_NAMES = (
    *(_check_results, _check_subsets, _check_methods, _check_effects, _check_datasets, _check_separate),
    *(_check_origins, _check_folders, _check_sources, _check_hashes, _check_contrasts),
)
"""Checks of names and of dataset folders."""
_WHOLE = (_check_transfers, _check_applicable, _check_levels, _check_splits, _check_starts)
"""Checks that assume valid names and folders."""
