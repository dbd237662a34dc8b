"""The complete model of a configuration, built from the cards of all losses, built-in datasets and kinds of methods.

Each of these has its own keys, so an entry is a union of models: the alternative is selected by a loss's name, a
dataset's recipe or a method's kind. Recipe and kind default to the name of the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from likeness import extractors, losses
from likeness.config import cards
from likeness.config.model import Configuration, Dataset, Loss, Losses, Own, Tune
from likeness.config.values import AsStated, Block, MethodName, Misfit, Name, distinct, opened, tagged
from likeness.datasets import catalogue, recipes
from likeness.extractors import sources
from likeness.losses import TRAINED_ON, WEIGHTS
from likeness.methods import given, kinds
from likeness.results import TRUTH


def completed(complete: Callable[[str, Mapping[Any, Any]], dict[Any, Any]]) -> BeforeValidator:
    """Create a validator that completes every entry of a block based on its name."""

    def entries(block: Any) -> Any:
        if not isinstance(block, Mapping):
            return opened(block)
        found = {name: opened(entry) for name, entry in block.items()}
        return {name: complete(name, e) if isinstance(e, Mapping) else e for name, e in found.items()}

    return BeforeValidator(entries)


def _with_recipe(name: str, entry: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(entry) if "folder" in entry else {"recipe": name, **entry}


def _with_kind(name: str, entry: Mapping[Any, Any]) -> dict[Any, Any]:
    return {"kind": given.KIND if "fields" in entry else name, **entry}


def stated_kind(key: str, otherwise: str = "") -> Callable[[Any], str | None]:
    """Create a function that selects an entry's alternative: the value of ``key``, or ``otherwise`` if it has that."""

    def choose(value: Any) -> str | None:
        # serialisation calls this with validated entries as well
        entry = vars(value) if isinstance(value, Block) else value
        if not isinstance(entry, Mapping):
            return None
        return otherwise if otherwise and otherwise in entry else str(entry.get(key))

    return choose


def trains_extractor(loss: str) -> bool:
    """Return whether a loss uses a feature extractor that the workflow trains."""
    name = losses.card(loss)["extractor"]
    return name is not None and sources.source(name) is None


def _free(taken: Mapping[str, str]) -> AfterValidator:
    """Create a validator that rejects reserved names."""

    def check(name: str) -> str:
        if name in taken:
            raise Misfit("taken", by=taken[name])
        return name

    return AfterValidator(check)


@lru_cache
def loss(name: str) -> type[Loss]:
    """Create the model of the configuration of one loss."""
    rules = cards.rules(losses.options(name), losses.limits(name))
    another = _of_extractor(name)
    options = cards.model(f"options of {name}", rules, AsStated, "Options of the loss.")
    doc = "Options that differ from those of the loss."
    variant = cards.model(f"variant of {name}", another, options, doc) if another else options
    free = _free({"default": "the variant without `variants`"})
    return cards.made(
        name,
        Loss,
        losses.card(name)["title"],
        options=(
            options,
            Field(
                default_factory=options.model_construct,
                description="Options of the variant `default`; see the documentation of the loss.",
            ),
        ),
        variants=(
            Annotated[dict[Annotated[Name, free], variant], BeforeValidator(opened)],  # type: ignore[valid-type]
            Field(
                default={},
                description="Further variants by name, each with the options in which it differs. If the workflow "
                "trains the loss's feature extractor, `trained_on` selects that of another dataset of the study; the "
                "variant is skipped on that dataset itself and on datasets of other dimensionality. If a loss compares "
                "features of a network, `weights: shuffled` permutes the network's weights within every layer, and "
                "`weights: untrained` replaces them by initial ones, both by the seed of the run.",
            ),
        ),
    )


def _of_extractor(name: str) -> dict[str, Any]:
    """Return the rules of the options of a loss's variants that select their extractor."""
    elsewhere = {TRAINED_ON: {"type": ["string", "null"], "default": None}} if trains_extractor(name) else {}
    twins = {WEIGHTS: {"enum": list(extractors.TWINS), "default": extractors.TRAINED}} if losses.has_twins(name) else {}
    return {**elsewhere, **twins}


def built_in(name: str) -> type[Dataset]:
    """Create the model of the configuration of one built-in dataset."""
    rules = cards.rules(recipes.defaults(name), catalogue.limits(name))
    options = cards.model(f"options of {name}", rules, AsStated, "Options of the built-in dataset.")
    return cards.made(
        name,
        Dataset,
        f"The built-in dataset {name}.",
        recipe=(Literal[name], Field(default=name, description="Built-in dataset; by default the entry's name.")),
        options=(
            options,
            Field(
                default_factory=options.model_construct,
                description="Options of the built-in dataset, for example sizes.",
            ),
        ),
    )


def method(kind: str) -> type[Block]:
    """Create the model of the configuration of a method of one kind."""
    card = kinds.card(kind)
    own = {"enum": [kind], "default": kind, "description": "Kind of the method; by default the entry's name."}
    rules = {"kind": own, **card["settings"]}
    return cards.model(kind, rules, Block, f"A method of the kind `{kind}`: {card['title']}.")


def _datasets() -> tuple[Any, Any]:
    models = {**{name: built_in(name) for name in recipes.names()}, "folder": Own}
    entry = tagged(models, stated_kind("recipe", "folder"))
    return (
        Annotated[dict[Name, entry], Field(min_length=1), completed(_with_recipe)],  # type: ignore[valid-type]
        Field(description="Datasets of the study by name; a built-in one or a folder of your own."),
    )


def _losses() -> tuple[Any, Any]:
    models = {name: loss(name) for name in losses.names()}
    fields = {name: (model, Field(default_factory=model.model_construct)) for name, model in models.items()}
    return (
        cards.made("losses", Losses, "Losses by name.", **fields),
        Field(description="Losses of the study by name; each has a module and a rule of the same name."),
    )


def _ranges(name: str) -> type[Block]:
    """Create the model of the values to try of the options of one loss."""
    found = cards.rules(losses.options(name), losses.limits(name))
    lists: dict[str, Any] = {
        option: (
            Annotated[list[cards.annotation(rule)], Field(min_length=1, max_length=100), AfterValidator(distinct)],  # type: ignore[misc]
            Field(default_factory=list),
        )
        for option, rule in found.items()
    }
    return cards.made(f"ranges of {name}", AsStated, "Values to try of the options of the loss.", **lists)


def _tune() -> tuple[Any, Any]:
    models = {name: _ranges(name) for name in losses.names()}
    fields = {name: (model, Field(default_factory=model.model_construct)) for name, model in models.items()}
    of_losses = cards.made("space", AsStated, "Values to try of the options of losses.", **fields)
    # a table for each loss would repeat the options of all losses
    space = Annotated[of_losses, WithJsonSchema({"type": "object"})]  # type: ignore[valid-type]
    doc = "Values to try of the options of a loss, in place of those on its card: `{ncc: {window: [5, 9, 17]}}`."
    tune = cards.made(
        "tune", Tune, Tune.__doc__ or "", space=(space, Field(default_factory=of_losses, description=doc))
    )
    return tune, Field(default_factory=tune, description=Tune.__doc__)


def _methods() -> tuple[Any, Any]:
    entry = tagged({kind: method(kind) for kind in kinds.names()}, stated_kind("kind"))
    taken = {
        **dict.fromkeys(losses.names(), "a loss, next to which it appears in tables"),
        kinds.UNREGISTERED: "the unregistered pairs",
        TRUTH: "the true fields",
    }
    name = Annotated[MethodName, _free(taken)]
    return (
        Annotated[dict[name, entry], Field(min_length=1), completed(_with_kind)],  # type: ignore[valid-type]
        Field(
            default={"voxelmorph": {}},
            validate_default=True,
            description="Methods of the study by name, which is used in paths, tables and figures. Unregistered pairs "
            "are always scored as well.",
        ),
    )


@lru_cache
def configuration() -> type[Configuration]:
    """Create the model of a configuration."""
    about = Configuration.__doc__ or ""
    blocks = {"datasets": _datasets(), "losses": _losses(), "methods": _methods(), "tune": _tune()}
    return cards.made("Study", Configuration, about, **blocks)
