"""A study: the validated, completed configuration and what it implies for each dataset and loss.

Snakemake evaluates this while it parses the workflow, so nothing here reads an image or imports a heavy library.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from likeness import extractors, losses
from likeness.config import checks, faults, tuning
from likeness.config.budgets import overlaid
from likeness.config.entries import configuration, trains_extractor
from likeness.config.entries import loss as loss_model
from likeness.data import contents, layout
from likeness.data.pairs import complete
from likeness.data.remarks import Remarks
from likeness.data.store import of_split
from likeness.datasets import recipes
from likeness.extractors import sources
from likeness.losses import TRAINED_ON, WEIGHTS
from likeness.methods import given, kinds
from likeness.methods.kinds import Method
from likeness.results import Run
from likeness.runtime.atomic import check_writable
from likeness.runtime.published import Source, missing
from likeness.userinput import documents
from likeness.userinput.errors import ConfigurationError, DatasetError, Faults, UserError, plain, sentence

RENAMED = {
    "networks": "methods",
    "weights": "checkpoints",
    "training.weights": "training.lambda.scale",
    "training.grid": "training.lambda.grid",
    "datasets.*.training.weights": "datasets.*.training.lambda.scale",
    "datasets.*.training.grid": "datasets.*.training.lambda.grid",
    "losses.*.grid": "losses.*.lambda.grid",
    "statistics.resamples": "statistics.simulations",
}
"""Keys of former versions and their current names; ``*`` stands for any name."""
ROUGHNESS = [0.05, 0.1, 0.2, 0.3, 0.4]
"""Default levels of the regularisation path on the scale `roughness`: standard deviation of log J."""


def read(path: str | Path) -> dict[Any, Any]:
    """Read a configuration file strictly, unlike Snakemake, which keeps the last of two equal keys.

    Raises:
        ConfigurationError: if the file does not exist, is not valid YAML or repeats a key.
    """
    path = Path(path)
    if not path.exists():
        msg = f"{path}: no such configuration; config/ contains those that come with the project"
        raise ConfigurationError(msg)
    return documents.read(path, ConfigurationError, "title: …")


def check_results(results: str, file: str) -> None:
    """Check that the results folder is writable.

    Args:
        results: value of the key ``results``.
        file: configuration file, for the message.

    Raises:
        ConfigurationError: if it is not; if the disk is full, with the free space.
    """
    try:
        check_writable(Path(results))
    except OSError as error:
        said = sentence(error) or f"{results}: cannot be written to ({error.strerror}); name another folder"
        if error.errno == errno.ENOSPC:
            said += f" ({shutil.disk_usage(results).free / 1e6:.1f} MB are free)"
        msg = f"{plain(file)}: key 'results': {said}"
        raise ConfigurationError(msg) from None


@dataclass(frozen=True)
class Study:
    """A validated configuration; create one with :meth:`load`."""

    config: dict[str, Any]
    file: str
    capabilities: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Capabilities, such as spatial dimensions and parts, of the study's datasets and of those extractors come from."""

    @classmethod
    def load(cls, config: Mapping[str, Any], file: str = "the configuration") -> Study:
        """Check a configuration against its model, the losses, the recipes and the datasets' tables.

        Args:
            config: content as read from YAML.
            file: file name, for messages.

        Raises:
            ConfigurationError: with one line for every problem, each with file, key and fix.
        """
        model = faults.checked(configuration(), config, file, ConfigurationError, RENAMED)
        full = model.model_dump(by_alias=True)
        # Snakemake warns about './' and '//' in paths
        full["results"] = str(Path(full["results"]))
        for name in full["only_losses"].split():
            # `make try` runs a new loss, with its default options, in a study that does not list it
            if name in losses.names():
                full["losses"].setdefault(name, loss_model(name)().model_dump(by_alias=True))
        checks.check_space(cls(full, file))
        for name, entry in full["losses"].items() if full["tune"]["trials"] else ():
            entry["variants"] |= tuning.trials(name, entry["options"], full["tune"])
        study = cls(full, file)
        checks.check(study)
        return study

    def check_images(self) -> list[str]:
        """Check every image of the user's own datasets; success is cached until a file changes.

        Returns:
            What a person should know of valid datasets, a sentence each.

        Raises:
            ConfigurationError: with all problems of the datasets.
        """
        wrong, remarks = Faults(ConfigurationError), []
        for name in self.prepared:
            if folder := self.config["datasets"][name].get("folder"):
                try:
                    remarks += contents.check_images(folder, Path(self.results) / "work" / "checked.json", Remarks)
                except DatasetError as error:
                    key = f"datasets.{name}.folder"
                    wrong.lines |= dict.fromkeys(checks.line(self, key, said) for said in str(error).splitlines())
        wrong.refuse()
        return remarks

    @property
    def results(self) -> str:
        """Folder for all results."""
        return self.config["results"]

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Methods of the study by name, in the order of the configuration, followed by the unregistered pairs."""
        named = {}
        for name, entry in self.config["methods"].items():
            method = kinds.method(name, entry["kind"])
            scale = "smoothing"
            if method.trained:
                scale = self.config["training"]["lambda"]["scale"]
            elif method.optimised:
                base = self.config["optimisation"]
                scale = overlaid("optimisation", base, entry["optimisation"])["lambda"]["scale"]
            named[name] = kinds.method(name, entry["kind"], scale)
        named |= given.dressed(named, self.config["methods"])
        return {**named, kinds.UNREGISTERED: kinds.method(kinds.UNREGISTERED)}

    @property
    def seeds(self) -> list[int]:
        """Random seeds of the study."""
        return self.config["seeds"]

    def _chosen(self, kind: str) -> list[str]:
        only = self.config[f"only_{kind}"].split()
        return [name for name in self.config[kind] if not only or name in only]

    @cached_property
    def datasets(self) -> list[str]:
        """Datasets of the study, in the order of the configuration."""
        return self._chosen("datasets")

    @cached_property
    def numbers(self) -> dict[str, dict[str, float]]:
        """Numeric options of every dataset, which contrasts may be taken over; none of the user's own datasets."""
        found = {}
        for name, entry in self.config["datasets"].items():
            options = {} if "folder" in entry else {**recipes.defaults(entry["recipe"]), **entry["options"]}
            numeric = {key: value for key, value in options.items() if isinstance(value, (int, float))}
            found[name] = {key: float(value) for key, value in numeric.items() if not isinstance(value, bool)}
        return found

    @cached_property
    def prepared(self) -> list[str]:
        """Datasets to prepare: those of the study, and any others that extractors are trained on."""
        taken = [self.options(loss, variant).get(TRAINED_ON) for loss in self.losses for variant in self.variants(loss)]
        others = [str(name) for name in taken if name in self.config["datasets"]]
        return list(dict.fromkeys([*self.datasets, *others]))

    @cached_property
    def losses(self) -> list[str]:
        """Losses of the study, in the order of figures and tables."""
        chosen = set(self._chosen("losses")) - set(self.config["skip_losses"].split())
        return [name for name in losses.names() if name in chosen]

    def variants(self, loss: str) -> list[str]:
        """Variants of a loss, ``default`` first."""
        return ["default", *self.config["losses"][loss]["variants"]]

    def options(self, loss: str, variant: str) -> dict[str, Any]:
        """Options of a variant: its own, over those of the variant ``default``.

        ``trained_on`` may be among them: the dataset whose extractor the variant uses. A loss outside the study, whose
        features another method uses, has its default options.
        """
        entry = self.config["losses"].get(loss)
        if entry is None:
            return {}
        return {**entry["options"], **({} if variant == "default" else entry["variants"][variant])}

    @cached_property
    def conditions(self) -> dict[str, tuple[str, str]]:
        """Source and condition of every dataset whose source, a built-in dataset or a folder, others have as well.

        The condition says how test images are degraded, and in which options the datasets of the source differ.
        """
        entries = {name: self.config["datasets"][name] for name in self.datasets}
        of_source: dict[str, dict[str, dict[str, Any]]] = {}
        for name, entry in entries.items():
            options = {**recipes.defaults(entry["recipe"]), **entry["options"]} if "recipe" in entry else {}
            of_source.setdefault(entry.get("folder") or entry["recipe"], {})[name] = options
        found = {}
        for source, options in ((source, own) for source, own in of_source.items() if len(own) > 1):
            first, *others = options.values()
            differing = [key for key in first if any(other[key] != first[key] for other in others)]
            for name, own in options.items():
                said = {**{key: own[key] for key in differing}, **entries[name]["degrade"]}
                found[name] = (source, ", ".join(f"{key} {value}" for key, value in said.items()))
        return found

    @property
    def tunes(self) -> bool:
        """Whether the study tunes options of losses."""
        return self.config["tune"]["trials"] > 0

    def tried(self, loss: str) -> dict[str, dict[str, Any]]:
        """Return the values of the tuned options of a loss, by variant; the default first, then the trials."""
        tuned = tuning.space(loss, self.config["tune"])
        variants = [name for name in self.variants(loss) if name == "default" or tuning.is_trial(name)]
        full = {name: losses.completed(loss, self.options(loss, name)) for name in variants}
        return {name: {option: values[option] for option in tuned} for name, values in full.items()}

    def inapplicable(self, dataset: str, loss: str) -> str | None:
        """Explain in a sentence why a loss does not apply to a dataset; ``None`` if it does."""
        able, card = self.capabilities[dataset], losses.card(loss)
        if loss in self.config["datasets"][dataset]["without_losses"]:
            return "The study leaves it out on this dataset."
        if able["spatial_dims"] not in card["dimensions"]:
            return f"{card['title']} does not work in {able['spatial_dims']}D."
        return self._lacks(dataset, card["requires"])

    def _lacks(self, dataset: str, required: Mapping[str, str]) -> str | None:
        """Explain why a dataset lacks one of the required parts; ``None`` if it has them all."""
        able = self.capabilities[dataset]
        missing = next((part for part in required if part not in able["parts"]), None)
        if missing is None:
            return None
        some = f", but only some training or validation images have a {missing}" if missing in able["partly"] else ""
        return required[missing] + some

    def runs(self) -> Iterator[Run]:
        """List every run that produces displacement fields."""
        for dataset in self.datasets:
            left_out = self.config["datasets"][dataset]["without_methods"]
            for name in self.config["methods"]:
                for loss, variant in [] if name in left_out else self._combinations_of(dataset, self.methods[name]):
                    for seed in self._seeds(Run(dataset, name, loss, variant)):
                        yield Run(dataset, name, loss, variant, seed)

    def _combinations_of(self, dataset: str, method: Method) -> Sequence[tuple[str | None, str | None]]:
        if method.kind == given.KIND and self.given(dataset, method.name) is None:
            return []
        if not method.uses_loss:
            forms = self.config["methods"][method.name].get("variants", [None])
            left_out = self.config["datasets"][dataset]["without_methods"]
            kept = (form for form in forms if f"{method.name}/{form}" not in left_out)
            return [(None, form) for form in kept if self._featured_on(dataset, form)]
        found = self.combinations(dataset)
        return [both for both in found if not (method.optimised and "only_trained" in losses.card(both[0]))]

    def _featured_on(self, dataset: str, form: str | None) -> bool:
        """Return whether a variant of a method is not a loss, or is a loss whose features apply to the dataset."""
        if form not in losses.names():
            return True
        noisy = losses.draws_noise(form, self.capabilities[dataset]["spatial_dims"])
        return not noisy and self.inapplicable(dataset, form) is None

    def trainings(self) -> Iterator[tuple[str, str, str, str, int]]:
        """List every run that trains a network: dataset, method, loss, variant and seed."""
        for dataset, name, loss, variant, seed in self.runs():
            if self.methods[name].trained and loss and variant and seed is not None:
                yield dataset, name, loss, variant, seed

    def optimisations(self) -> Iterator[Run]:
        """List every run that optimises each pair separately."""
        return (run for run in self.runs() if self.methods[run.method].optimised)

    def warped_again(self) -> Iterator[Run]:
        """List every run whose test pairs are registered again after a known warp: searches that start from nothing."""
        for run in self.optimisations() if self.config["warp_consistency"]["pairs"] and not self.tunes else ():
            if self.optimisation(run.dataset, run.method, str(run.loss))["start"] is None:
                yield run

    def classical(self) -> Iterator[Run]:
        """List every run of SyN."""
        return (run for run in self.runs() if self.methods[run.method].path)

    def given(self, dataset: str, method: str) -> Path | None:
        """Return the folder of the fields given for a method on a dataset; ``None`` if there is none."""
        return given.folder_of(self.config["methods"][method]["fields"], dataset, self.config["datasets"])

    def givens(self) -> list[Run]:
        """List every run whose fields were given."""
        return [run for run in self.runs() if self.methods[run.method].kind == given.KIND]

    def missing_fields(self) -> list[str]:
        """Describe the test pairs without given fields, one sentence per run, for datasets whose tables list all pairs.

        Raises:
            ConfigurationError: if no fields are found for any pair.
        """
        said = []
        for run in self.givens():
            entry, method = self.config["datasets"][run.dataset], self.config["methods"][run.method]
            folder = self.given(run.dataset, run.method)
            if folder is None or "folder" not in entry:
                continue
            raw = layout.check_tables(entry["folder"])
            table = complete(raw.images, raw.pairs, raw.meta["pairs"], entry["seed"], entry["pairs"])
            pairs = {split: of_split(table, split) for split in ("val", "test")}
            try:
                _, missing = given.find(folder, method["convention"], pairs, raw.images.index)
            except UserError as error:
                msg = checks.line(self, f"methods.{run.method}.fields", str(error))
                raise ConfigurationError(msg) from None
            said.append(given.shortfall(folder, pairs["test"], missing))
        return [one for one in said if one]

    @property
    def exports(self) -> list[str]:
        """Conventions in which all fields are exported."""
        kept = self.config["keep_fields"]
        return kept if isinstance(kept, list) else []

    def combinations(self, dataset: str) -> list[tuple[str, str]]:
        """List the losses and variants that apply to a dataset."""
        return [
            (loss, variant)
            for loss in self.losses
            if self.inapplicable(dataset, loss) is None
            for variant in self.variants(loss)
            if self.left_out(dataset, loss, variant) is None
        ]

    def _seeds(self, run: Run) -> Sequence[int | None]:
        """List the seeds of a run; a single ``None`` if the run is deterministic."""
        dims = self.capabilities[run.dataset]["spatial_dims"]
        noisy = run.loss is not None and (losses.draws_noise(run.loss, dims) or self._redrawn(run))
        return self.seeds if self.methods[run.method].seeded or noisy or self.learnt(run) else [None]

    def _redrawn(self, run: Run) -> bool:
        """Return whether the weights of a run's extractor are drawn by its seed."""
        return self.options(str(run.loss), str(run.variant)).get(WEIGHTS, extractors.TRAINED) != extractors.TRAINED

    def left_out(self, dataset: str, loss: str, variant: str) -> str | None:
        """Explain why a variant skips a dataset to which its loss applies; ``None`` if it does not."""
        lacks = self._lacks(dataset, losses.requires(loss, self.options(loss, variant)))
        return lacks or self.not_transferred(dataset, loss, variant)

    def not_transferred(self, dataset: str, loss: str, variant: str) -> str | None:
        """Explain why a variant with another dataset's extractor skips a dataset; ``None`` if it does not."""
        name = self.options(loss, variant).get(TRAINED_ON)
        if name is None:
            return None
        if name == dataset:
            return "The extractor of the variant was trained on this dataset, as was that of the default."
        dims = self.capabilities[name]["spatial_dims"]
        alike = dims == self.capabilities[dataset]["spatial_dims"]
        return None if alike else f"The extractor of the variant was trained on {name}, which has {dims}D images."

    @staticmethod
    def features(run: Run) -> tuple[str, str] | None:
        """Return the loss and variant whose extractor a run may need: its own, or the one named by its variant."""
        if run.loss is None:
            return (run.variant, "default") if run.variant in losses.names() else None
        return run.loss, str(run.variant)

    def learnt(self, run: Run) -> tuple[str, str] | None:
        """Return dataset and name of the extractor that a run needs; ``None`` if the workflow does not train one."""
        features = self.features(run)
        return self.trained_extractor(run.dataset, *features) if features else None

    def trained_extractor(self, dataset: str, loss: str, variant: str) -> tuple[str, str] | None:
        """Return dataset and name of the extractor that a loss needs; ``None`` if the workflow does not train one."""
        if not trains_extractor(loss):
            return None
        return self.options(loss, variant).get(TRAINED_ON) or dataset, losses.card(loss)["extractor"]

    def pretrainings(self) -> Iterator[tuple[str, str, int]]:
        """List every extractor that the workflow trains: dataset, extractor, seed."""
        # the landscape needs the extractor for the first seed even if no method uses the loss
        seeds = self.seeds if any(method.uses_loss for method in self.methods.values()) else self.seeds[:1]
        sampled = (
            (*found, seed)
            for dataset in self.datasets
            for loss, variant in self.combinations(dataset)
            if (found := self.trained_extractor(dataset, loss, variant))
            for seed in seeds
        )
        needed = ((*found, int(run.seed or 0)) for run in self.runs() if (found := self.learnt(run)))
        yield from dict.fromkeys([*sampled, *needed])

    def source(self, extractor: str) -> Source:
        """Return the weight files of an extractor, with the model and the hashes chosen by the study."""
        return sources.wanted_by(self.config["checkpoints"], extractor)

    @cached_property
    def published(self) -> list[str]:
        """Extractors with published weights that the study needs."""
        sampled = (loss for dataset in self.datasets for loss, _ in self.combinations(dataset))
        run = (features[0] for run in self.runs() if (features := self.features(run)))
        needed = dict.fromkeys(losses.card(loss)["extractor"] for loss in [*sampled, *run])
        return [name for name in needed if name and sources.source(name)]

    @property
    def checkpoints_folder(self) -> Path:
        """Folder of downloaded weights."""
        return Path(self.config["checkpoints"]["folder"])

    def missing_checkpoints(self) -> list[str]:
        """Describe the weight files that have yet to be downloaded and where they go, one sentence per extractor."""
        converted = Path(self.results) / "extractors"
        unmade = [name for name in self.published if not (converted / f"{name}.safetensors").exists()]
        return [said for name in unmade if (said := missing(self.source(name), self.checkpoints_folder))]

    def _architecture(self, entry: Mapping[str, Any], dataset: str) -> dict[str, Any]:
        """Select the settings for the dataset's dimensionality and strip the suffix ``_2d`` or ``_3d``."""
        dims = self.capabilities[dataset]["spatial_dims"]
        chosen = {key: value for key, value in entry.items() if not key.endswith(("_2d", "_3d"))}
        own = {key: value for key, value in entry.items() if key.endswith(f"_{dims}d")}
        return {**chosen, **{key.removesuffix(f"_{dims}d"): value for key, value in own.items()}}

    def training(self, dataset: str, method: str, loss: str) -> dict[str, Any]:
        """Everything that determines a training except data, loss options and seed, as plain types."""
        entry = self.config["datasets"][dataset]
        budget = overlaid("training", self.config["training"], entry["training"])
        card, scale = losses.card(loss), budget["lambda"]["scale"]
        grid = self.config["losses"][loss]["lambda"]["grid"] or budget["lambda"]["grid"]
        budget["lambda"] = {"scale": scale, "grid": grid or card["grid" if scale == "balanced" else "raw_grid"]}
        entry = self.config["methods"][method]
        stated = {key: value for key, value in entry.items() if key != "kind"}
        budget["network"] = self.methods[method].kind
        budget["architecture"] = self._architecture(stated, dataset)
        budget["threads"] = self.config["threads"]
        return budget

    def classical_recipe(self, method: str, variant: str) -> dict[str, Any]:
        """Everything that determines a registration by a classical method except data, as plain types."""
        kind, path = self.methods[method].kind, str(self.methods[method].path)
        settings = {key: value for key, value in self.config["methods"][method].items() if key != "kind"}
        form = variant if settings.pop("variants", None) else None
        return {"kind": kind, "variant": form, "path": sorted(settings.pop(path), reverse=True), "settings": settings}

    def optimisation(self, dataset: str, method: str, loss: str) -> dict[str, Any]:
        """Everything that determines an optimisation except data, loss options and seed, as plain types."""
        budget = self._searching(dataset, method)
        del budget["audit"]
        grid, scale = budget["lambda"]["grid"], budget["lambda"]["scale"]
        if scale != "roughness":
            card = losses.card(loss)["grid" if scale == "balanced" else "raw_grid"]
            grid = self.config["losses"][loss]["lambda"]["grid"] or grid or card
        budget["lambda"] = {"scale": scale, "grid": grid or ROUGHNESS}
        return {**budget, "separate": loss in budget["separate"], "threads": self.config["threads"]}

    def audited(self, dataset: str, method: str) -> int:
        """Number of validation pairs for which a method's searches are repeated from other starts."""
        return self._searching(dataset, method)["audit"]

    def _searching(self, dataset: str, method: str) -> dict[str, Any]:
        """Merge the optimisation settings of study, dataset and method; shared by all losses."""
        budget = dict(self.config["optimisation"])
        for over in (self.config["datasets"][dataset], self.config["methods"][method]):
            budget = overlaid("optimisation", budget, over["optimisation"])
        return budget

    def pretraining(self, dataset: str) -> dict[str, Any]:
        """Everything that determines the pretraining of an extractor except data and seed, as plain types."""
        entry = self.config["datasets"][dataset]
        budget = self._architecture(overlaid("pretraining", self.config["pretraining"], entry["pretraining"]), dataset)
        return {**budget, "threads": self.config["threads"]}

    def landscape(self, dataset: str) -> dict[str, Any]:
        """Return the sampling of the loss landscape on a dataset."""
        return overlaid("landscape", self.config["landscape"], self.config["datasets"][dataset]["landscape"])
