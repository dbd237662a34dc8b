"""A study: the configuration, checked and completed, and what follows from it for each dataset and loss.

Nothing here reads an image or imports a heavy library, because the workflow needs it while it is parsed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from likeness import losses
from likeness.data import layout, recipes

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"

KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    str: ("a text", lambda value: isinstance(value, str)),
    list: ("a list", lambda value: isinstance(value, list)),
    dict: ("a block of keys and values", lambda value: isinstance(value, Mapping)),
}
"""What may stand for a value of each type, in words and as a test."""

_NAMES = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list, "object": dict}

_FAULTS = {
    "minLength": "{value!r} is too short; give at least {limit} characters",
    "minItems": "{value!r} has too few entries; give at least {limit}",
    "maxItems": "{value!r} has too many entries; give at most {limit}",
    "minProperties": "there is no entry; give at least {limit}",
    "uniqueItems": "{value!r} names something twice; give each once",
    "pattern": "{value!r} has characters that a name here cannot have; use lower-case letters, digits and hyphens",
    "minimum": "{value!r} is too small; give at least {limit}",
    "exclusiveMinimum": "{value!r} is too small; give more than {limit}",
    "maximum": "{value!r} is too large; give at most {limit}",
    "exclusiveMaximum": "{value!r} is too large; give less than {limit}",
}

# JSON Schema counts 1.0e+4 among the integers; Python cannot count to it
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: KINDS[int][1](value))
Validator = validators.extend(Draft202012Validator, type_checker=_TYPES)


class ConfigurationError(ValueError):
    """The configuration asks for something impossible; the message names file, key and mend."""


@lru_cache
def schema() -> dict[str, Any]:
    """Read the JSON Schema of a configuration."""
    return yaml.safe_load(SCHEMA.read_text())


def _did_you_mean(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(known)}"


def _explain(error: ValidationError, file: str) -> str:
    """Turn a schema violation into one sentence with file, key and mend."""
    path = [str(p) for p in error.absolute_path]
    rule: Any = error.schema
    if error.validator == "additionalProperties":
        known = list(rule["properties"])
        given: Any = error.instance
        unknown = str(next(key for key in given if key not in known))
        return f"{file}: key '{'.'.join([*path, unknown])}' is unknown; {_did_you_mean(unknown, known)}"
    where = f"{file}: key '{'.'.join(path)}': " if path else f"{file}: "
    # a rule for names has no description of its own; one with choices has listed them
    meaning = "" if error.validator == "enum" else re.split(r"[.;:] ", rule.get("description", ""), maxsplit=1)[0]
    return where + _fault(error) + (f" ({meaning[0].lower()}{meaning[1:].rstrip('.')})" if meaning and path else "")


def _fault(error: ValidationError) -> str:
    """Say in words what a value violates and what to give instead."""
    value: Any = error.instance
    limit: Any = error.validator_value
    if error.validator == "type":
        return f"{value!r} is not {KINDS[_NAMES[limit]][0]}; give that"
    if error.validator == "enum":
        return f"there is no '{value}'; {_did_you_mean(str(value), list(map(str, limit)))}"
    if error.validator == "required":
        missing = next(key for key in limit if key not in value)
        return f"key '{missing}' is missing; add it"
    template = _FAULTS.get(str(error.validator))
    return template.format(value=value, limit=limit) if template else error.message


def _complete(value: Any, rule: Mapping[str, Any]) -> Any:
    """Fill in the defaults of the schema, recursively."""
    rule = {**schema()["$defs"][rule["$ref"].rsplit("/", 1)[1]], **rule} if "$ref" in rule else rule
    if not isinstance(value, Mapping):
        return value
    known = rule.get("properties", {})
    full = {key: known[key]["default"] for key in known if "default" in known[key]}
    full.update(value)
    other = rule.get("additionalProperties")
    rules = {key: known.get(key, other if isinstance(other, Mapping) else {}) for key in full}
    return {key: _complete(item, rules[key]) for key, item in full.items()}


def _overlay(base: Mapping[str, Any], over: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Complete a dataset's budget: its own entries over the study's over the defaults."""
    return _complete({**base, **over}, schema()["$defs"][kind])


@dataclass(frozen=True)
class Study:
    """A configuration that was checked. Make one with :meth:`load`."""

    config: dict[str, Any]
    file: str
    capabilities: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Spatial dims and parts of every dataset of the study, by name."""

    @classmethod
    def load(cls, config: Mapping[str, Any], file: str = "the configuration") -> Study:
        """Check a configuration against its schema, the losses, the recipes and the tables of datasets.

        Args:
            config: as read from YAML.
            file: its name, for messages.

        Raises:
            ConfigurationError: in one sentence that names file, key and mend.
        """
        raw = {k: ({} if v is None else v) for k, v in config.items()}
        for key in ("losses", "datasets", "networks"):
            if isinstance(raw.get(key), Mapping):
                raw[key] = {k: ({} if v is None else v) for k, v in raw[key].items()}
        errors = sorted(Validator(schema()).iter_errors(raw), key=lambda e: list(map(str, e.absolute_path)))
        if errors:
            raise ConfigurationError(_explain(errors[0], file))
        full = _complete(raw, schema())
        for name, entry in full["datasets"].items():
            # what a dataset changes is laid over the study's budget; defaults filled in here would hide that budget
            entry.update({kind: raw["datasets"][name].get(kind, {}) for kind in ("training", "pretraining")})
        for name in full["only_losses"].split():
            # a new loss is tried on a study that does not know it, with the loss's defaults
            full["losses"].setdefault(name, _complete({}, schema()["$defs"]["loss"]))
        study = cls(full, file)
        study._check_losses()
        study._check_datasets()
        return study

    def _refuse(self, key: str, what: str) -> None:
        msg = f"{self.file}: key '{key}': {what}"
        raise ConfigurationError(msg)

    def _check_losses(self) -> None:
        known = losses.names()
        self._check_subset("only_losses", known)
        for name, entry in self.config["losses"].items():
            if name not in known:
                self._refuse(f"losses.{name}", f"there is no loss '{name}'; {_did_you_mean(name, known)}")
            if "default" in entry["variants"]:
                self._refuse(f"losses.{name}.variants.default", "the name is taken by the variant without `variants`")
            for key, options in {"options": entry["options"], **entry["variants"]}.items():
                place = key if key == "options" else f"variants.{key}"
                self._check_options(f"losses.{name}.{place}", f"loss '{name}'", options, losses.options(name))

    def _check_options(self, key: str, owner: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Refuse an option that its owner does not have, or whose value is not of the kind of its default."""
        for option, value in options.items():
            if option not in known:
                hint = _did_you_mean(option, list(known)) if known else "it has none"
                self._refuse(f"{key}.{option}", f"{owner} has no such option; {hint}")
            wanted, fits = KINDS.get(type(known[option]), ("", lambda _: True))
            if not fits(value):
                default = yaml.safe_dump(known[option]).split("\n")[0]
                self._refuse(f"{key}.{option}", f"{value!r} is not {wanted}; give that, the default is {default}")

    def _check_subset(self, key: str, known: list[str]) -> None:
        for name in self.config[key].split():
            if name not in known:
                self._refuse(key, f"the study has no '{name}'; {_did_you_mean(name, known)}")

    def _check_datasets(self) -> None:
        self._check_subset("only_datasets", list(self.config["datasets"]))
        for name in self.datasets:
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
                    hint = _did_you_mean(recipe, list(recipes.RECIPES))
                    self._refuse(f"datasets.{name}", f"there is no built-in recipe '{recipe}'; {hint} or give `folder`")
                self._check_recipe(name, recipe, entry["options"])
                self.capabilities[name] = recipes.describe(recipe)

    def _check_recipe(self, dataset: str, recipe: str, options: Mapping[str, Any]) -> None:
        known = recipes.defaults(recipe)
        self._check_options(f"datasets.{dataset}.options", f"recipe '{recipe}'", options, known)
        for option, value in options.items():
            if isinstance(known[option], int) and int(value) < int(not isinstance(value, bool)):
                self._refuse(f"datasets.{dataset}.options.{option}", f"{value} is too few; give at least 1")

    def check_images(self) -> None:
        """Check every image of the user's own datasets; a good verdict is remembered until a file changes.

        Raises:
            ConfigurationError: at the first image that does not fit.
        """
        for name in self.datasets:
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
    def losses(self) -> list[str]:
        """Losses of the study, in the order of figures and tables."""
        chosen = self._chosen("losses")
        return [name for name in losses.names() if name in chosen]

    def variants(self, loss: str) -> list[str]:
        """Variants of a loss, ``default`` first."""
        return ["default", *self.config["losses"][loss]["variants"]]

    def options(self, loss: str, variant: str) -> dict[str, Any]:
        """Options of a variant: its own over those of the variant ``default``."""
        entry = self.config["losses"][loss]
        return {**entry["options"], **({} if variant == "default" else entry["variants"][variant])}

    def inapplicable(self, dataset: str, loss: str) -> str | None:
        """Say in a sentence why a loss does not apply to a dataset; ``None`` where it does."""
        able, card = self.capabilities[dataset], losses.card(loss)
        if able["spatial_dims"] not in card["dimensions"]:
            return f"{card['title']} does not work in {able['spatial_dims']}D."
        missing = [reason for part, reason in card["requires"].items() if part not in able["parts"]]
        return missing[0] if missing else None

    def runs(self) -> Iterator[tuple[str, str, str, str, int]]:
        """List every training: dataset, network, loss, variant, seed."""
        for dataset in self.datasets:
            for network in self.networks:
                for loss in self.losses:
                    if self.inapplicable(dataset, loss) is None:
                        for variant in self.variants(loss):
                            for seed in self.seeds:
                                yield dataset, network, loss, variant, seed

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
