"""What the parts of a configuration have to say to each other: each check refuses in one sentence, with file and key.

What a single value may be stands in the schema; here is what only the whole tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from likeness import extractors, losses
from likeness.data import layout
from likeness.datasets import catalogue, recipes
from likeness.extractors import sources
from likeness.imageio import conventions
from likeness.losses import TRAINED_ON
from likeness.methods import given, kinds
from likeness.results import TRUTH, Run
from likeness.userinput import schemas
from likeness.userinput.refusals import ConfigurationError, DatasetError, plain, suggest

if TYPE_CHECKING:
    from likeness.config.study import Study


RENAMED = {
    "networks": "methods",
    "weights": "checkpoints",
    "training.weights": "training.lambda.scale",
    "training.grid": "training.lambda.grid",
    "datasets.*.training.weights": "datasets.*.training.lambda.scale",
    "datasets.*.training.grid": "datasets.*.training.lambda.grid",
    "losses.*.grid": "losses.*.lambda.grid",
}
"""Keys that former versions had, ``*`` for any name, and what they are called now."""


def check_renamed(config: Mapping[str, Any], file: str) -> None:
    """Refuse keys that are called otherwise now.

    Raises:
        ConfigurationError: that names all of them.
    """
    found = []

    def find(block: Any, steps: Sequence[str]) -> Iterator[list[str]]:
        if isinstance(block, Mapping):
            for key in block if steps[0] == "*" else [steps[0]] if steps[0] in block else []:
                yield from ([str(key), *rest] for rest in (find(block[key], steps[1:]) if steps[1:] else [[]]))

    for old, new in RENAMED.items():
        for path in find(config, old.split(".")):
            name = path[1] if "*" in old else ""
            found.append(f"'{plain('.'.join(path))}' is `{plain(new.replace('*', name))}`")
    if found:
        keys = "keys have" if len(found) > 1 else "a key has"
        msg = f"{plain(file)}: {keys} another name now: {', '.join(found)}; move what stands there"
        raise ConfigurationError(msg)


def check(study: Study) -> None:
    """Check a study that agrees with its schema, and find out what its datasets have.

    Raises:
        ConfigurationError: at the first thing that does not fit.
    """
    _check_results(study)
    _check_methods(study)
    _check_losses(study)
    _check_datasets(study)
    _check_transfers(study)
    _check_sources(study)
    _check_hashes(study)
    _check_applicable(study)
    _check_levels(study)
    _check_separate(study)
    _check_splits(study)
    _check_starts(study)


def refuse(study: Study, key: str, what: str) -> NoReturn:
    """Raise a :class:`ConfigurationError` that names the file and the key."""
    msg = f"{plain(study.file)}: key '{key}': {what}"
    raise ConfigurationError(msg)


def _check_results(study: Study) -> None:
    """Refuse results in the place of a file, at which Snakemake would end with a traceback."""
    for place in (Path(study.results), *Path(study.results).parents):
        with suppress(OSError):
            if place.is_file():
                refuse(study, "results", f"'{place}' is a file; name a folder")


def _check_methods(study: Study) -> None:
    known = kinds.names()
    for name, entry in study.config["methods"].items():
        if name == kinds.UNREGISTERED:
            refuse(study, f"methods.{name}", "the name is taken by the pairs as they are; choose another")
        if name == TRUTH:
            refuse(study, f"methods.{name}", "the name is taken by the true fields; choose another")
        if name in losses.names():
            refuse(study, f"methods.{name}", "the name is taken by a loss, beside which tables show it; choose another")
        kind = entry.get("kind", name)
        if kind not in known:
            key = f"methods.{name}.kind" if "kind" in entry else f"methods.{name}"
            refuse(study, key, f"there is no method of the kind '{plain(kind)}'; {suggest(kind, known)}")
        own = kinds.settings(kind)
        for key in entry:
            if key not in ("kind", *own) and entry[key] != {}:
                said = f"a method of the kind '{kind}' has no such setting; {suggest(key, own)}, or take the key away"
                refuse(study, f"methods.{name}.{key}", said)
        _check_forms(study, name, kinds.card(kind).get("variants", {}), entry.get("variants", []))
        if kind == given.KIND:
            _check_given(study, name, entry)


def _check_forms(study: Study, name: str, own: Mapping[str, str], forms: Sequence[str]) -> None:
    """Refuse a form of a method that is neither one of its own nor a loss whose features it could take."""
    able = [*own, *(loss for loss in losses.names() if _has_features(losses.card(loss)))]
    for form in forms:
        if form not in able:
            said = f"'{plain(form)}' is neither a form of its own nor a loss that compares what an image alone decides"
            refuse(study, f"methods.{name}.variants", f"{said}; {suggest(form, able)}")


def _has_features(card: Mapping[str, Any]) -> bool:
    """Tell whether a loss compares features that depend on nothing but the image, at least in some dimensions."""
    return card["extractor"] is not None and not {*card["dimensions"]} <= {*card.get("noise", {})}


def _check_given(study: Study, name: str, entry: Mapping[str, Any]) -> None:
    """Refuse given fields that are not there, or kept in another way than is said."""
    for key, what in (("fields", "name the folder that they are in"), ("convention", "say how they are kept")):
        if key not in entry:
            listed = f": {', '.join(conventions.CONVENTIONS)}" if key == "convention" else ""
            refuse(
                study, f"methods.{name}.{key}", f"it is missing, but the fields of '{name}' are given; {what}{listed}"
            )
    try:
        given.check(entry["fields"], entry["convention"], study.config["datasets"])
    except DatasetError as error:
        refuse(study, f"methods.{name}.fields", str(error))


def _check_losses(study: Study) -> None:
    known = losses.names()
    _check_subset(study, "only_losses", known)
    for name, entry in study.config["losses"].items():
        if name not in known:
            refuse(study, f"losses.{name}", f"there is no loss '{name}'; {suggest(name, known)}")
        if "default" in entry["variants"]:
            refuse(study, f"losses.{name}.variants.default", "the name is taken by the variant without `variants`")
        for key, options in {"options": entry["options"], **entry["variants"]}.items():
            place = f"losses.{name}.{key if key == 'options' else f'variants.{key}'}"
            own, limits = losses.options(name), losses.limits(name)
            if key != "options" and study.trains_extractor(name):
                own, limits = {**own, TRAINED_ON: None}, {**limits, TRAINED_ON: {"type": ["string", "null"]}}
            _check_options(study, place, f"loss '{name}'", options, own, limits)
        _check_effects(study, name)


def _check_options(
    study: Study, key: str, owner: str, options: Mapping[str, Any], known: Mapping[str, Any], limits: Mapping[str, Any]
) -> None:
    """Refuse an option that its owner does not have, or whose value is not of the kind of its default."""
    for option, value in options.items():
        where = f"{key}.{plain(option)}"
        if option not in known:
            hint = suggest(option, known) if known else "it has none"
            refuse(study, where, f"{owner} has no such option; {hint}")
        rule = {**schemas.same_kind(known[option]), **limits.get(option, {})}
        if said := schemas.fault(value, rule):
            default = yaml.safe_dump(known[option]).split("\n")[0]
            refuse(study, where, f"{said}{' The' if said.endswith('?') else ', the'} default is {default}")


def _check_effects(study: Study, loss: str) -> None:
    """Refuse an option that changes nothing beside the others: what it is to be compared with would be the same."""
    own, limits, entry = losses.options(loss), losses.limits(loss), study.config["losses"][loss]
    for stated_in in ["options", *entry["variants"]]:
        stated = entry["options"] if stated_in == "options" else entry["variants"][stated_in]
        for option in (key for key, value in stated.items() if key in limits and value != own[key]):
            takers = [stated_in]
            if stated_in == "options":
                # it may be meant for variants, which inherit it and choose another partner
                takers = ["default", *(name for name, over in entry["variants"].items() if option not in over)]
            for partner, wanted in limits[option].get("with", {}).items():
                found = [{**own, **study.options(loss, taker)}[partner] for taker in takers]
                if wanted not in found:
                    key = stated_in if stated_in == "options" else f"variants.{stated_in}"
                    said = f"has no effect where `{partner}` is '{found[0]}'; make that '{wanted}'"
                    refuse(study, f"losses.{loss}.{key}.{option}", f"{said}, or take the key away")


def _check_subset(study: Study, key: str, known: list[str]) -> None:
    for name in study.config[key].split():
        if name not in known:
            refuse(study, key, f"the study has no '{plain(name)}'; {suggest(name, known)}")


def _check_losses_named(study: Study, key: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in study.config["losses"]:
            refuse(study, key, f"the study has no loss '{plain(name)}'; {suggest(name, study.config['losses'])}")


def _check_methods_named(study: Study, key: str, names: Sequence[str]) -> None:
    methods = study.config["methods"]
    forms = [f"{method}/{form}" for method, entry in methods.items() for form in entry.get("variants", [])]
    for name in names:
        if name not in (*methods, *forms):
            refuse(study, key, f"the study has no method '{plain(name)}'; {suggest(name, [*methods, *forms])}")


def _check_datasets(study: Study) -> None:
    _check_subset(study, "only_datasets", list(study.config["datasets"]))
    for name in study.prepared:
        entry = study.config["datasets"][name]
        for kind in ("training", "optimisation"):
            if "scale" in entry[kind].get("lambda", {}):
                said = f"tables have one scale for all datasets; set it under `{kind}.lambda`"
                refuse(study, f"datasets.{name}.{kind}.lambda.scale", said)
        _check_losses_named(study, f"datasets.{name}.without_losses", entry["without_losses"])
        _check_methods_named(study, f"datasets.{name}.without_methods", entry["without_methods"])
        if "folder" in entry and "recipe" in entry:
            refuse(study, f"datasets.{name}", "give either `folder` or `recipe`, not both")
        if "folder" in entry:
            try:
                layout.check_tables(Path(entry["folder"]))
                study.capabilities[name] = layout.capabilities(Path(entry["folder"]))
            except DatasetError as error:
                refuse(study, f"datasets.{name}.folder", str(error))
        else:
            recipe = entry.get("recipe", name)
            if recipe not in recipes.RECIPES:
                hint = suggest(recipe, list(recipes.RECIPES))
                refuse(study, f"datasets.{name}", f"there is no built-in recipe '{recipe}'; {hint} or give `folder`")
            owner, known = f"recipe '{recipe}'", recipes.defaults(recipe)
            _check_options(study, f"datasets.{name}.options", owner, entry["options"], known, catalogue.limits(recipe))
            study.capabilities[name] = catalogue.describe(recipe)


def _check_transfers(study: Study) -> None:
    """Refuse to take an extractor from a dataset where none could be trained, or none that fits another dataset."""
    for loss in study.losses:
        for variant in study.variants(loss):
            name = study.options(loss, variant).get(TRAINED_ON)
            if name is None:
                continue
            key = f"losses.{loss}.variants.{variant}.{TRAINED_ON}"
            if name not in study.config["datasets"]:
                refuse(study, key, f"the study has no dataset '{name}'; {suggest(name, study.config['datasets'])}")
            if reason := study.inapplicable(name, loss):
                refuse(study, key, f"no extractor can be trained on '{name}': {reason}; name another dataset")
            dims = study.capabilities[name]["spatial_dims"]
            if all(study.left_out(dataset, loss, variant) for dataset in study.datasets):
                said = f"no dataset that is run but '{name}' itself has images in {dims}D, as it has"
                refuse(study, key, f"{said}; name another, or leave the variant out")


def _check_sources(study: Study) -> None:
    """Refuse a model on the hub for an extractor that is not of one."""
    named = study.config["checkpoints"]["sources"]
    able = [path.stem for path in sorted(sources.FOLDER.glob("*.py")) if named and _hub(path.stem)]
    for name in named:
        if name not in able:
            said = f"the weights of '{plain(name)}' are of no model on the hub that another could stand for"
            refuse(study, f"checkpoints.sources.{plain(name)}", f"{said}; {suggest(name, able)}")


def _check_hashes(study: Study) -> None:
    """Refuse a hash that is of nothing."""
    for name, stated in study.config["checkpoints"]["hashes"].items():
        key = f"checkpoints.hashes.{plain(name)}"
        found = sources.source(name)
        if found is None:
            refuse(study, key, f"there is no extractor '{plain(name)}' with published weights; take the key away")
        files = list(found.hashes)
        for file in [] if isinstance(stated, str) else stated:
            if file not in files:
                refuse(study, key, f"{name} has no file '{plain(file)}'; {suggest(file, files)}")
        if isinstance(stated, str) and len(files) > 1:
            refuse(study, key, f"{name} has {len(files)} files; give a block with the hash of each")


def _check_applicable(study: Study) -> None:
    """Refuse a study of which nothing would be trained."""
    if next(study.runs(), None) is None:
        dataset, loss = study.datasets[0], study.losses[0]
        reason = study.inapplicable(dataset, loss) or losses.card(loss)["only_trained"]
        refuse(study, "losses", f"none applies to any dataset, '{loss}' not to '{dataset}': {reason}; add another")
    ran, dataset = {(run.method, run.variant) for run in study.runs()}, study.datasets[0]
    for name, entry in study.config["methods"].items():
        for form in entry.get("variants", []):
            left_out = f"{name}/{form}" in study.config["datasets"][dataset]["without_methods"]
            if form in losses.names() and (name, form) not in ran and not left_out:
                reason = study.inapplicable(dataset, form) or "it draws random slices of volumes"
                said = f"'{form}' applies to no dataset, not to '{dataset}': {reason}"
                refuse(study, f"methods.{name}.variants", f"{said}; leave it out, or add a dataset")


def _check_levels(study: Study) -> None:
    """Refuse a level or a tap that the extractor which the study pretrains does not have."""
    for dataset, loss, variant in ((name, *pair) for name in study.datasets for pair in study.combinations(name)):
        options = study.options(loss, variant)
        levels, taps = options.get("levels"), options.get("taps")
        if (levels or taps) and losses.card(loss)["extractor"] in extractors.PRETRAINED:
            learnt = options.get(TRAINED_ON) or dataset
            stages = len(study.pretraining(learnt)["channels"])
            key = f"losses.{loss}.{'options' if variant == 'default' else f'variants.{variant}'}"
            if levels and max(levels) >= stages:
                said = f"{levels} goes beyond the {stages} levels of the extractor on '{learnt}', 0 to {stages - 1}"
                refuse(study, f"{key}.levels", f"{said}; name others or add stages to `pretraining`")
            possible = ["middle", *(f"up{stage}" for stage in range(stages))]
            unknown = next((tap for tap in taps or [] if tap not in possible), None)
            if unknown is not None:
                said = f"the extractor on '{learnt}' has no '{plain(unknown)}' but {', '.join(possible)}"
                refuse(study, f"{key}.taps", f"{said}; name one of these or add stages to `pretraining`")


def _check_splits(study: Study) -> None:
    """Refuse to train on a dataset that has nothing to train on or to validate by."""
    learners = {dataset: f"the network of '{loss}' by '{method}'" for dataset, method, loss, *_ in study.trainings()}
    learners |= {dataset: f"the extractor '{name}'" for dataset, name, _ in study.pretrainings()}
    for dataset, who in learners.items():
        for split in ("train", "val"):
            if split not in study.capabilities[dataset]["splits"]:
                said = f"split '{split}' has no image, but {who} is trained on '{dataset}'; add some to images.csv"
                refuse(
                    study, f"datasets.{dataset}", f"{said}, or leave it out by `without_losses` or `without_methods`"
                )


def _check_separate(study: Study) -> None:
    """Refuse to start what is no loss of the study separately."""
    places: dict[str, Mapping[str, Any]] = {"optimisation": study.config["optimisation"]}
    for kind in ("datasets", "methods"):
        places |= {f"{kind}.{name}.optimisation": e.get("optimisation", {}) for name, e in study.config[kind].items()}
    for place, block in places.items():
        _check_losses_named(study, f"{place}.separate", block.get("separate", []))


def _check_starts(study: Study) -> None:
    """Refuse an optimisation that starts from what is not there, or waits for itself."""
    runs = [run for run in study.optimisations() if run.loss]
    starts = {run: study.optimisation(run.dataset, run.method, str(run.loss))["start"] for run in runs}
    others = [name for name in study.methods if name != kinds.UNREGISTERED]
    for run, start in starts.items():
        key = _key_of_start(study, run)
        if start == TRUTH and "field" not in study.capabilities[run.dataset]["parts"]:
            said = f"'{run.dataset}' has no true fields"
            refuse(study, key, f"{said}; set it for the datasets that have, or name a method")
        if start not in (None, TRUTH, *others):
            refuse(study, key, f"the study has no method '{plain(start)}'; {suggest(start, [TRUTH, *others])}")
        if start in others and study.methods[start].kind == given.KIND and study.given(run.dataset, start) is None:
            refuse(study, key, f"'{start}' has no fields of '{run.dataset}'; give some, or set it for other datasets")
        passed = [run.method]
        while start in others and start not in passed:
            passed.append(start)
            start = starts.get(run._replace(method=start))
        if start in passed:
            said = ", which starts from ".join(f"'{name}'" for name in [*passed, start])
            refuse(study, key, f"{said}; one of them has to start elsewhere")


def _key_of_start(study: Study, run: Run) -> str:
    """Name the key that says where a run starts: of its method, its dataset or the study."""
    for kind, name in (("methods", run.method), ("datasets", run.dataset)):
        if "start" in study.config[kind][name]["optimisation"]:
            return f"{kind}.{name}.optimisation.start"
    return "optimisation.start"


def _hub(extractor: str) -> str:
    found = sources.source(extractor)
    return found.hub if found else ""
