"""A study: the configuration, checked and completed, and what follows from it for each dataset and loss.

Nothing here reads an image or imports a heavy library, because the workflow needs it while it is parsed.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

from likeness import documents, extractors, losses, schemas, weights
from likeness.data import layout, recipes
from likeness.files import probe
from likeness.refusals import Refusal, plain, sentence, suggest
from likeness.weights import TRAINED_ON, Source

OVERLAID = ("training", "pretraining", "landscape")
"""The blocks of a study in which a dataset may differ."""
SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"


class ConfigurationError(Refusal):
    """The configuration asks for something impossible; the message names file, key and mend."""


@lru_cache
def schema() -> dict[str, Any]:
    """Read the JSON Schema of a configuration."""
    return yaml.safe_load(SCHEMA.read_text())


def read(path: str | Path) -> dict[Any, Any]:
    """Read a configuration file, strictly: Snakemake's own reading takes the last of two keys of one name.

    Raises:
        ConfigurationError: in one sentence, if it is not there, no YAML, or names a key twice.
    """
    path = Path(path)
    if not path.exists():
        msg = f"{path}: no such configuration; config/ holds those that come with the project"
        raise ConfigurationError(msg)
    return documents.read(path, ConfigurationError, "title: …")


def check_results(results: str, file: str) -> None:
    """Try whether anything can be written into the folder of the results.

    Args:
        results: the key of that name.
        file: the configuration, for the message.

    Raises:
        ConfigurationError: if not; where the disk is full, with what is free.
    """
    try:
        probe(Path(results))
    except OSError as error:
        said = sentence(error) or f"{results}: cannot be written to ({error.strerror}); name another folder"
        if error.errno == errno.ENOSPC:
            said += f" ({shutil.disk_usage(results).free / 1e6:.1f} MB are free)"
        msg = f"{plain(file)}: key 'results': {said}"
        raise ConfigurationError(msg) from None


def _rule(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference; what stands beside it wins."""
    return {**schema()["$defs"][rule["$ref"].rsplit("/", 1)[1]], **rule} if "$ref" in rule else rule


def _rule_of(key: Any, rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the rule of a key in the rule of its block; nothing where the key is unknown."""
    other = rule.get("additionalProperties")
    return _rule(rule.get("properties", {}).get(key, other if isinstance(other, Mapping) else {}))


def _opened(value: Any, rule: Mapping[str, Any]) -> Any:
    """Take a key without a value for a block without entries, where a block belongs there."""
    if value is None and rule.get("type") == "object":
        return {}
    if not isinstance(value, Mapping):
        return value
    return {key: _opened(item, _rule_of(key, rule)) for key, item in value.items()}


def _complete(value: Any, rule: Mapping[str, Any]) -> Any:
    """Fill in the defaults of the schema, recursively."""
    if not isinstance(value, Mapping):
        return value
    known = {key: _rule(entry) for key, entry in rule.get("properties", {}).items()}
    full = {key: entry["default"] for key, entry in known.items() if "default" in entry}
    full.update(value)
    return {key: _complete(item, _rule_of(key, rule)) for key, item in full.items()}


def _hub(extractor: str) -> str:
    found = weights.source(extractor)
    return found.hub if found else ""


def _overlay(base: Mapping[str, Any], over: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Complete a dataset's budget: its own entries over the study's over the defaults."""
    return _complete({**base, **over}, schema()["$defs"][kind])


@dataclass(frozen=True)
class Study:
    """A configuration that was checked. Make one with :meth:`load`."""

    config: dict[str, Any]
    file: str
    capabilities: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Spatial dims and parts of every dataset of the study, and of those that extractors are taken from, by name."""

    @classmethod
    def load(cls, config: Mapping[str, Any], file: str = "the configuration") -> Study:
        """Check a configuration against its schema, the losses, the recipes and the tables of datasets.

        Args:
            config: as read from YAML.
            file: its name, for messages.

        Raises:
            ConfigurationError: in one sentence that names file, key and mend.
        """
        raw = _opened(config, schema())
        schemas.check(raw, schema(), file, ConfigurationError)
        full = _complete(raw, schema())
        # Snakemake warns of './' and '//' in paths
        full["results"] = str(Path(full["results"]))
        for name, entry in full["datasets"].items():
            # what a dataset changes is laid over the study's budget; defaults filled in here would hide that budget
            entry.update({kind: raw["datasets"][name].get(kind, {}) for kind in OVERLAID})
        for name in full["only_losses"].split():
            # a new loss is tried on a study that does not know it, with the loss's defaults
            full["losses"].setdefault(name, _complete({}, schema()["$defs"]["loss"]))
        study = cls(full, file)
        study._check_results()
        study._check_losses()
        study._check_datasets()
        study._check_transfers()
        study._check_sources()
        study._check_hashes()
        study._check_applicable()
        study._check_levels()
        return study

    def _refuse(self, key: str, what: str) -> NoReturn:
        msg = f"{plain(self.file)}: key '{key}': {what}"
        raise ConfigurationError(msg)

    def _check_results(self) -> None:
        """Refuse results in the place of a file, at which Snakemake would end with a traceback."""
        for place in (Path(self.results), *Path(self.results).parents):
            with suppress(OSError):
                if place.is_file():
                    self._refuse("results", f"'{place}' is a file; name a folder")

    def _check_losses(self) -> None:
        known = losses.names()
        self._check_subset("only_losses", known)
        for name, entry in self.config["losses"].items():
            if name not in known:
                self._refuse(f"losses.{name}", f"there is no loss '{name}'; {suggest(name, known)}")
            if "default" in entry["variants"]:
                self._refuse(f"losses.{name}.variants.default", "the name is taken by the variant without `variants`")
            for key, options in {"options": entry["options"], **entry["variants"]}.items():
                place = f"losses.{name}.{key if key == 'options' else f'variants.{key}'}"
                own, limits = losses.options(name), losses.card(name).get("limits", {})
                if key != "options" and self._trains_extractor(name):
                    own, limits = {**own, TRAINED_ON: None}, {**limits, TRAINED_ON: {"type": ["string", "null"]}}
                self._check_options(place, f"loss '{name}'", options, own, limits)
            self._check_effects(name)

    def _check_options(
        self, key: str, owner: str, options: Mapping[str, Any], known: Mapping[str, Any], limits: Mapping[str, Any]
    ) -> None:
        """Refuse an option that its owner does not have, or whose value is not of the kind of its default."""
        for option, value in options.items():
            where = f"{key}.{plain(option)}"
            if option not in known:
                hint = suggest(option, known) if known else "it has none"
                self._refuse(where, f"{owner} has no such option; {hint}")
            rule = {**schemas.same_kind(known[option]), **limits.get(option, {})}
            if said := schemas.fault(value, rule):
                default = yaml.safe_dump(known[option]).split("\n")[0]
                self._refuse(where, f"{said}{' The' if said.endswith('?') else ', the'} default is {default}")

    def _check_effects(self, loss: str) -> None:
        """Refuse an option that changes nothing beside the others: what it is to be compared with would be the same."""
        own, limits, entry = losses.options(loss), losses.card(loss).get("limits", {}), self.config["losses"][loss]
        for stated_in in ["options", *entry["variants"]]:
            stated = entry["options"] if stated_in == "options" else entry["variants"][stated_in]
            for option in (key for key, value in stated.items() if key in limits and value != own[key]):
                takers = [stated_in]
                if stated_in == "options":
                    # it may be meant for variants, which inherit it and choose another partner
                    takers = ["default", *(name for name, over in entry["variants"].items() if option not in over)]
                for partner, wanted in limits[option].get("with", {}).items():
                    found = [{**own, **self.options(loss, taker)}[partner] for taker in takers]
                    if wanted not in found:
                        key = stated_in if stated_in == "options" else f"variants.{stated_in}"
                        said = f"has no effect where `{partner}` is '{found[0]}'; make that '{wanted}'"
                        self._refuse(f"losses.{loss}.{key}.{option}", f"{said}, or take the key away")

    def _check_subset(self, key: str, known: list[str]) -> None:
        for name in self.config[key].split():
            if name not in known:
                self._refuse(key, f"the study has no '{plain(name)}'; {suggest(name, known)}")

    @staticmethod
    def _trains_extractor(loss: str) -> bool:
        """Tell whether the workflow trains the extractor of a loss."""
        name = losses.card(loss)["extractor"]
        return name is not None and weights.source(name) is None

    def _check_datasets(self) -> None:
        self._check_subset("only_datasets", list(self.config["datasets"]))
        for name in self.prepared:
            entry = self.config["datasets"][name]
            if "folder" in entry and "recipe" in entry:
                self._refuse(f"datasets.{name}", "give either `folder` or `recipe`, not both")
            if "folder" in entry:
                try:
                    layout.check_tables(Path(entry["folder"]))
                    self.capabilities[name] = layout.capabilities(Path(entry["folder"]))
                except layout.DatasetError as error:
                    self._refuse(f"datasets.{name}.folder", str(error))
            else:
                recipe = entry.get("recipe", name)
                if recipe not in recipes.RECIPES:
                    hint = suggest(recipe, list(recipes.RECIPES))
                    self._refuse(f"datasets.{name}", f"there is no built-in recipe '{recipe}'; {hint} or give `folder`")
                owner, known = f"recipe '{recipe}'", recipes.defaults(recipe)
                self._check_options(f"datasets.{name}.options", owner, entry["options"], known, recipes.limits(recipe))
                self.capabilities[name] = recipes.describe(recipe)

    def _check_transfers(self) -> None:
        """Refuse to take an extractor from a dataset where none could be trained, or none that fits another dataset."""
        for loss in self.losses:
            for variant in self.variants(loss):
                name = self.options(loss, variant).get(TRAINED_ON)
                if name is None:
                    continue
                key = f"losses.{loss}.variants.{variant}.{TRAINED_ON}"
                if name not in self.config["datasets"]:
                    self._refuse(key, f"the study has no dataset '{name}'; {suggest(name, self.config['datasets'])}")
                if reason := self.inapplicable(name, loss):
                    self._refuse(key, f"no extractor can be trained on '{name}': {reason}; name another dataset")
                dims = self.capabilities[name]["spatial_dims"]
                if all(self.left_out(dataset, loss, variant) for dataset in self.datasets):
                    said = f"no dataset that is run but '{name}' itself has images in {dims}D, as it has"
                    self._refuse(key, f"{said}; name another, or leave the variant out")

    def _check_sources(self) -> None:
        """Refuse a model on the hub for an extractor that is not of one."""
        named = self.config["weights"]["sources"]
        able = [path.stem for path in sorted(weights.FOLDER.glob("*.py")) if named and _hub(path.stem)]
        for name in named:
            if name not in able:
                said = f"the weights of '{plain(name)}' are of no model on the hub that another could stand for"
                self._refuse(f"weights.sources.{plain(name)}", f"{said}; {suggest(name, able)}")

    def _check_hashes(self) -> None:
        """Refuse a hash that is of nothing."""
        for name, stated in self.config["weights"]["hashes"].items():
            key = f"weights.hashes.{plain(name)}"
            found = weights.source(name)
            if found is None:
                self._refuse(key, f"there is no extractor '{plain(name)}' with published weights; take the key away")
            files = list(found.hashes)
            for file in [] if isinstance(stated, str) else stated:
                if file not in files:
                    self._refuse(key, f"{name} has no file '{plain(file)}'; {suggest(file, files)}")
            if isinstance(stated, str) and len(files) > 1:
                self._refuse(key, f"{name} has {len(files)} files; give a block with the hash of each")

    def _check_applicable(self) -> None:
        """Refuse a study of which nothing would be trained."""
        if next(self.runs(), None) is None:
            dataset, loss = self.datasets[0], self.losses[0]
            reason = self.inapplicable(dataset, loss)
            self._refuse("losses", f"none applies to any dataset, '{loss}' not to '{dataset}': {reason}; add another")

    def _check_levels(self) -> None:
        """Refuse a level or a tap that the extractor which the study pretrains does not have."""
        for dataset, _, loss, variant, _ in self.runs():
            options = self.options(loss, variant)
            levels, taps = options.get("levels"), options.get("taps")
            if (levels or taps) and losses.card(loss)["extractor"] in extractors.PRETRAINED:
                learnt = options.get(TRAINED_ON) or dataset
                stages = len(self.pretraining(learnt)["channels"])
                key = f"losses.{loss}.{'options' if variant == 'default' else f'variants.{variant}'}"
                if levels and max(levels) >= stages:
                    said = f"{levels} goes beyond the {stages} levels of the extractor on '{learnt}', 0 to {stages - 1}"
                    self._refuse(f"{key}.levels", f"{said}; name others or add stages to `pretraining`")
                possible = ["middle", *(f"up{stage}" for stage in range(stages))]
                unknown = next((tap for tap in taps or [] if tap not in possible), None)
                if unknown is not None:
                    said = f"the extractor on '{learnt}' has no '{plain(unknown)}' but {', '.join(possible)}"
                    self._refuse(f"{key}.taps", f"{said}; name one of these or add stages to `pretraining`")

    def check_images(self) -> None:
        """Check every image of the user's own datasets; a good verdict is remembered until a file changes.

        Raises:
            ConfigurationError: at the first image that does not fit.
        """
        for name in self.prepared:
            if folder := self.config["datasets"][name].get("folder"):
                try:
                    layout.check_images(folder, Path(self.results) / "work" / "checked.json")
                except layout.DatasetError as error:
                    self._refuse(f"datasets.{name}.folder", str(error))

    @property
    def results(self) -> str:
        """Folder that everything is written to."""
        return self.config["results"]

    @property
    def networks(self) -> list[str]:
        """Networks of the study, in the order of the configuration."""
        return list(self.config["networks"])

    @property
    def seeds(self) -> list[int]:
        """Training seeds."""
        return self.config["seeds"]

    def _chosen(self, kind: str) -> list[str]:
        only = self.config[f"only_{kind}"].split()
        return [name for name in self.config[kind] if not only or name in only]

    @cached_property
    def datasets(self) -> list[str]:
        """Datasets of the study, in the order of the configuration."""
        return self._chosen("datasets")

    @cached_property
    def prepared(self) -> list[str]:
        """Datasets that are prepared: those of the study, and any other that an extractor is trained on."""
        taken = [self.options(loss, variant).get(TRAINED_ON) for loss in self.losses for variant in self.variants(loss)]
        others = [str(name) for name in taken if name in self.config["datasets"]]
        return list(dict.fromkeys([*self.datasets, *others]))

    @cached_property
    def losses(self) -> list[str]:
        """Losses of the study, in the order of figures and tables."""
        chosen = self._chosen("losses")
        return [name for name in losses.names() if name in chosen]

    def variants(self, loss: str) -> list[str]:
        """Variants of a loss, ``default`` first."""
        return ["default", *self.config["losses"][loss]["variants"]]

    def options(self, loss: str, variant: str) -> dict[str, Any]:
        """Options of a variant: its own over those of the variant ``default``.

        Beside keywords of the loss there may be ``trained_on``: the dataset whose extractor it takes.
        """
        entry = self.config["losses"][loss]
        return {**entry["options"], **({} if variant == "default" else entry["variants"][variant])}

    def inapplicable(self, dataset: str, loss: str) -> str | None:
        """Say in a sentence why a loss does not apply to a dataset; ``None`` where it does."""
        able, card = self.capabilities[dataset], losses.card(loss)
        if able["spatial_dims"] not in card["dimensions"]:
            return f"{card['title']} does not work in {able['spatial_dims']}D."
        missing = next((part for part in card["requires"] if part not in able["parts"]), None)
        if missing is None:
            return None
        some = f", but only some of those that learn or validate have a {missing}" if missing in able["partly"] else ""
        return card["requires"][missing] + some

    def runs(self) -> Iterator[tuple[str, str, str, str, int]]:
        """List every training: dataset, network, loss, variant, seed."""
        for dataset in self.datasets:
            for network in self.networks:
                for loss in self.losses:
                    if self.inapplicable(dataset, loss) is None:
                        for variant in self.variants(loss):
                            if self.left_out(dataset, loss, variant) is None:
                                for seed in self.seeds:
                                    yield dataset, network, loss, variant, seed

    def left_out(self, dataset: str, loss: str, variant: str) -> str | None:
        """Say in a sentence why a variant with another dataset's extractor leaves a dataset out; ``None`` otherwise."""
        name = self.options(loss, variant).get(TRAINED_ON)
        if name is None:
            return None
        if name == dataset:
            return "The extractor of the variant is of this dataset, as that of the default is."
        dims = self.capabilities[name]["spatial_dims"]
        alike = dims == self.capabilities[dataset]["spatial_dims"]
        return None if alike else f"The extractor of the variant is of {name}, which has images in {dims}D."

    def trained_extractor(self, dataset: str, loss: str, variant: str) -> tuple[str, str] | None:
        """Give the dataset and the name of the extractor that a training needs, if the workflow trains it."""
        if not self._trains_extractor(loss):
            return None
        return self.options(loss, variant).get(TRAINED_ON) or dataset, losses.card(loss)["extractor"]

    def pretrainings(self) -> Iterator[tuple[str, str, int]]:
        """List every extractor that the workflow trains: dataset, extractor, seed."""
        found = {
            (*learnt, seed): None
            for dataset, _, loss, variant, seed in self.runs()
            if (learnt := self.trained_extractor(dataset, loss, variant))
        }
        yield from found

    def source(self, extractor: str) -> Source:
        """Give the files of an extractor whose weights are published, of the model and with the hashes of the study."""
        return weights.wanted_by(self.config["weights"], extractor)

    @cached_property
    def published(self) -> list[str]:
        """Extractors with published weights that a training needs."""
        needed = dict.fromkeys(losses.card(loss)["extractor"] for _, _, loss, _, _ in self.runs())
        return [name for name in needed if name and weights.source(name)]

    @property
    def weights_folder(self) -> Path:
        """Where published weights lie."""
        return Path(self.config["weights"]["folder"])

    def missing_weights(self) -> list[str]:
        """Say in a sentence of every extractor whose files have yet to be fetched what they are and where they go."""
        converted = Path(self.results) / "extractors"
        unmade = [name for name in self.published if not (converted / f"{name}.safetensors").exists()]
        return [said for name in unmade if (said := weights.missing(self.source(name), self.weights_folder))]

    def _architecture(self, entry: Mapping[str, Any], dataset: str) -> dict[str, Any]:
        dims = self.capabilities[dataset]["spatial_dims"]
        chosen = {k: v for k, v in entry.items() if not k.startswith("channels_")}
        return {**chosen, "channels": entry[f"channels_{dims}d"]}

    def training(self, dataset: str, network: str, loss: str) -> dict[str, Any]:
        """Everything that decides a training but the data, the loss's options and the seed, as plain types."""
        entry = self.config["datasets"][dataset]
        budget = _overlay(self.config["training"], entry["training"], "training")
        card = losses.card(loss)
        own = self.config["losses"][loss].get("grid") or budget.pop("grid", None)
        budget["grid"] = own or (card["grid"] if budget["weights"] == "balanced" else card["raw_grid"])
        budget["network"] = network
        budget["architecture"] = self._architecture(self.config["networks"][network], dataset)
        budget["threads"] = self.config["threads"]
        return budget

    def pretraining(self, dataset: str) -> dict[str, Any]:
        """Everything that decides the pretraining of an extractor but the data and the seed, as plain types."""
        entry = self.config["datasets"][dataset]
        budget = self._architecture(_overlay(self.config["pretraining"], entry["pretraining"], "pretraining"), dataset)
        return {**budget, "threads": self.config["threads"]}

    def landscape(self, dataset: str) -> dict[str, Any]:
        """Give how densely losses are sampled around the truth of a dataset."""
        return _overlay(self.config["landscape"], self.config["datasets"][dataset]["landscape"], "landscape")
