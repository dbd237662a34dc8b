"""Path providers, discovery, and the options of a loss and variant; no rules."""

import sys
from pathlib import Path

LIB = str(Path(workflow.basedir) / "workflow" / "lib")
if LIB not in sys.path:
    sys.path.insert(0, LIB)

from likeness import losses as cards
from likeness.data import layout, recipes
from likeness.configuration import ConfigurationError, Study
from likeness.provenance import code_digest

CONFIGFILE = str(workflow.configfiles[0]).removeprefix(f"{Path.cwd()}/")
try:
    STUDY = Study.load(config, CONFIGFILE)
except ConfigurationError as error:
    # an exit, because Snakemake would wrap the sentence of an exception in places in its own code
    sys.exit(str(error))

RESULTS = STUDY.results
FIGURES = ("test_score", "smoothness_vs_dice", "convergence", "tuning", "img_sample")
TABLES = ("summary", "comparisons")
RUN = "{dataset}/{network}/{loss}/{variant}/seed{seed}"


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    network="[a-z0-9_]+",
    variant="[a-z0-9][a-z0-9-]*",
    seed="[0-9]+",
    extractor="[a-z0-9_]+",


def script_path(name):
    """Absolute, because a relative one would be resolved against the rule file that inherits the rule."""
    return str(Path(workflow.basedir) / "workflow" / "scripts" / f"{name}.py")


def env_path(name):
    return str(Path(workflow.basedir) / "envs" / f"{name}.yaml")


def caption(name):
    return str(Path(workflow.basedir) / "workflow" / "report" / f"{name}.rst")


def code(script, *modules):
    """Digest of what a job runs: a param, so that an edit reruns exactly what depends on it and a comment nothing."""
    return code_digest(Path(script_path(script)), *modules)


def loss_modules(loss):
    extractor = cards.card(loss)["extractor"]
    return [f"likeness.losses.{loss}"] + ([f"likeness.extractors.{extractor}"] if extractor else [])


def raw_folder(wildcards):
    """The user's own folder, or the one that the recipe writes."""
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    return own or f"{RESULTS}/raw/{wildcards.dataset}"


def user_tables(wildcards):
    """The tables of a user's folder: their change reruns everything; images are checked by size and time."""
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    if own is None:
        return [f"{RESULTS}/raw/{wildcards.dataset}"]
    names = ("dataset.yaml", "subjects.csv", "pairs.csv")
    return [str(Path(own) / name) for name in names if (Path(own) / name).is_file()]


def image_states(wildcards):
    """Size and time of every image of a user's folder, in one digest: a changed image is prepared anew."""
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    return layout.states(Path(own)) if own else ""


def check_images():
    """Refuse a user's images before the first job."""
    try:
        STUDY.check_images()
    except ConfigurationError as error:
        sys.exit(str(error))


def recipe(wildcards):
    return STUDY.config["datasets"][wildcards.dataset].get("recipe", wildcards.dataset)


def maybe_temp(path):
    return path if STUDY.config["keep_fields"] else temp(path)


def extractor(wildcards):
    """The weights of the extractor that a loss needs, pretrained on the same dataset, or nothing."""
    name = cards.card(wildcards.loss)["extractor"]
    return f"{RESULTS}/extractors/{wildcards.dataset}/{name}/seed{wildcards.seed}.safetensors" if name else []


def runs(pattern, **only):
    """Expand a pattern over every training of the study."""
    keys = ("dataset", "network", "loss", "variant", "seed")
    found = [dict(zip(keys, run)) for run in STUDY.runs()]
    return [pattern.format(**run) for run in found if all(run[k] == v for k, v in only.items())]


def pretrainings(pattern):
    """Expand a pattern over every extractor that a training of the study needs."""
    needed = {(d, e, s): None for d, _, loss, _, s in STUDY.runs() if (e := cards.card(loss)["extractor"])}
    return [pattern.format(dataset=d, extractor=e, seed=s) for d, e, s in needed]


def figure(name):
    """The two files of a figure; the picture is shown in Snakemake's report with its caption."""
    picture = report(
        f"{RESULTS}/figures/{name}.png", caption=caption(name), category="Figures", labels={"figure": name}
    )
    return {"png": picture, "pdf": f"{RESULTS}/figures/{name}.pdf"}


def ranks():
    """What tables say of each loss."""
    return {loss: {key: cards.card(loss)[key] for key in ("order", "supervision")} for loss in STUDY.losses}


def shown():
    """What figures show of each loss: its card, and its reason where it does not apply to a dataset."""
    return {
        loss: {
            **cards.card(loss),
            "inapplicable": {d: r for d in STUDY.datasets if (r := STUDY.inapplicable(d, loss))},
        }
        for loss in STUDY.losses
    }


def check_rules():
    """A rule file without a loss, or a loss without a rule, would be a hole in the study that no job reports."""
    folder = Path(workflow.basedir) / "workflow" / "rules" / "losses"
    for loss in STUDY.losses:
        if not (folder / f"{loss}.smk").is_file():
            sys.exit(f"{folder}/{loss}.smk: missing; `make loss NAME={loss}` shows what it looks like")


check_rules()
