"""Path providers, discovery, and the options of a loss and variant; no rules."""

import os
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

LIB = str(Path(workflow.basedir) / "workflow" / "lib")
if LIB not in sys.path:
    sys.path.insert(0, LIB)

from likeness.runtime import jobs, locks
from likeness import figures, metrics, results
from likeness.figures.looks import look
from likeness import losses as cards
from likeness.data import layout
from likeness.methods import given
from likeness.methods.kinds import UNREGISTERED
from likeness.results import Run
from likeness.datasets import recipes
from likeness.config.study import Study, check_results, read
from likeness.runtime.provenance import code_digest
from likeness.userinput.errors import UserError, suggest

CONFIGFILES = [str(path).removeprefix(f"{Path.cwd()}/") for path in workflow.configfiles]
CONFIGFILE = CONFIGFILES[0]
try:
    for file in CONFIGFILES if workflow.is_main_process else ():
        # Snakemake has read it, but of two keys of one name it takes the last
        read(file)
    STUDY = Study.load(config, CONFIGFILE)
    FIGURES, METRICS = figures.names(), metrics.names()
except UserError as error:
    # an exit, because Snakemake would wrap the sentence of an exception in places in its own code
    sys.exit(str(error))

# Jobs end with the process that started them, and a lock that a killed Snakemake left is cleared by the next one.
OWNER, ALONE = locks.enlist(Path(".snakemake") / ("owners" if workflow.is_main_process else "remote-owners"))
os.environ[jobs.OWNER] = str(Path(OWNER.name).resolve())
if workflow.is_main_process and ALONE:
    for lock in Path(".snakemake/locks").glob("*.lock"):
        lock.unlink()

RESULTS = STUDY.results
WORK = f"{RESULTS}/work"
# with the defaults filled in, because scripts that fetch or read published weights ask it where these lie
config["checkpoints"] = STUDY.config["checkpoints"]
TABLES = ("summary", "comparisons", "runs", "searches", "verdicts", "audit", "landscape")
RUN = results.RUN
RUNS = list(STUDY.runs())
TRAININGS = [Run(*training) for training in STUDY.trainings()]
# Extractors whose weights others published; the rest is trained.
PUBLISHED = "|".join(STUDY.published) or "(?!)"
# Of a large study tables and figures are no group: whenever a job ends, Snakemake counts the inputs of a whole group.
TOGETHER = "tables_and_figures" if len(RUNS) < 500 else None
SAMPLED = [
    loss for loss in STUDY.losses if any(STUDY.inapplicable(dataset, loss) is None for dataset in STUDY.datasets)
]


def named(methods):
    """Constrain a wildcard to some names, or to none."""
    return "|".join(methods) or "(?!)"


def trained(pattern):
    """Restrict a pattern to methods that train a network."""
    return restricted(pattern, lambda method: method.trained)


def optimised(pattern):
    """Restrict a pattern to methods that optimise each pair."""
    return restricted(pattern, lambda method: method.optimised)


def by_syn(pattern):
    """Restrict a pattern to methods that are SyN."""
    return restricted(pattern, lambda method: method.kind == "syn")


def restricted(pattern, kind):
    """Restrict a pattern to methods of a kind. In the pattern itself: a rule that inherits another replaces its
    constraints, and two rules that give the fields of one method would be ambiguous."""
    return pattern.replace("{method}", f"{{method,{named(name for name, m in STUDY.methods.items() if kind(m))}}}")


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    # what a method does not have is '-'
    method=named(name for name in STUDY.methods if name != UNREGISTERED),
    loss="[a-z0-9_]+|-",
    variant="[a-z0-9][a-z0-9_-]*|-",
    seed="[0-9]+|-",
    extractor="[a-z0-9_]+",


def script_path(name):
    """Absolute, because a relative one would be resolved against the rule file that inherits the rule."""
    return str(Path(workflow.basedir) / "workflow" / "scripts" / f"{name}.py")


def env_path(name):
    return str(Path(workflow.basedir) / "envs" / f"{name}.yaml")


def caption(name):
    return str(Path(workflow.basedir) / "workflow" / "report" / f"{name}.rst")


def code(script, *modules):
    """Digest of what a job runs: a param, so that an edit reruns what depends on it and a comment or message nothing."""
    return code_digest(Path(script_path(script)), *modules)


def raw_folder(wildcards, input):
    """The user's own folder, or the one that the recipe writes."""
    return STUDY.config["datasets"][wildcards.dataset].get("folder") or str(input[0])


def user_tables(wildcards):
    """The tables of a user's folder: their change reruns everything; images are checked by size and time.

    They are local: where results lie in a storage that machines do not mount, the folder is read where Snakemake runs.
    """
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    if own is None:
        return [f"{RESULTS}/raw/{wildcards.dataset}"]
    names = ("dataset.yaml", "images.csv", "pairs.csv")
    return [local(str(Path(own) / name)) for name in names if (Path(own) / name).is_file()]


def image_states(wildcards):
    """Size and time of every image of a user's folder, in one digest: a changed image is prepared anew."""
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    return layout.states(Path(own)) if own else ""


def check_files():
    """Refuse a folder that cannot take the results, and a user's images, before the first job; tell what is fetched."""
    try:
        check_results(STUDY.results, CONFIGFILE)
        STUDY.check_images()
        for said in [*STUDY.missing_checkpoints(), *STUDY.missing_fields()]:
            print(said, file=sys.stderr)
    except UserError as error:
        sys.exit(str(error))


def recipe(wildcards):
    return STUDY.config["datasets"][wildcards.dataset]["recipe"]


def maybe_temp(path):
    """What was made for scores alone goes when they are there; fields that are exported are kept as such."""
    return path if STUDY.config["keep_fields"] is True else temp(path)


def given_fields(pattern):
    """Restrict a pattern to methods whose fields were given."""
    return restricted(pattern, lambda method: method.kind == given.KIND)


def given_states(wildcards):
    """Size and time of every given field, in one digest: changed ones are read anew."""
    convention = STUDY.config["methods"][wildcards.method]["convention"]
    return given.states(STUDY.given(wildcards.dataset, wildcards.method), convention)


def extractor(wildcards, kind="safetensors"):
    """The extractor that a loss needs, or nothing: its weights or their description.

    It was published, or pretrained on the same dataset, or on that from which a variant takes it.
    """
    name = cards.card(wildcards.loss)["extractor"]
    if name in STUDY.published:
        return f"{RESULTS}/extractors/{name}.{kind}"
    learnt = STUDY.trained_extractor(wildcards.dataset, wildcards.loss, wildcards.variant)
    if not learnt:
        return []
    dataset, name = learnt
    made = results.PRETRAINED.format(dataset=dataset, extractor=name, seed=wildcards.seed)
    return f"{RESULTS}/extractors/{made}.{kind}"


def features(wildcards, kind="safetensors"):
    """The extractor whose features a form of a method registers, or nothing."""
    found = STUDY.features(Run.of(wildcards))
    if found is None:
        return []
    loss, variant = found
    return extractor(SimpleNamespace(dataset=wildcards.dataset, loss=loss, variant=variant, seed=wildcards.seed), kind)


def compared(wildcards):
    """The modules of the extractor whose features a form of a method registers, beside those that its script names."""
    found = STUDY.features(Run.of(wildcards))
    return [] if found is None else [f"likeness.extractors.{cards.card(found[0])['extractor']}"]


def options(wildcards):
    """Every option of a loss and variant, because the defaults that stand on its card are no code."""
    return cards.completed(wildcards.loss, STUDY.options(wildcards.loss, wildcards.variant))


def growing(mem_mb):
    """Memory in MB that grows with every retry, which profiles for clusters ask for: large images need more of it."""
    return lambda wildcards, attempt: mem_mb * attempt


def runs(pattern):
    """Expand a pattern over every run of the study."""
    return results.expand(f"{RESULTS}/{pattern}", RUNS)


def trainings(pattern):
    """Expand a pattern over every run that trains a network."""
    return results.expand(f"{RESULTS}/{pattern}", TRAININGS)


def optimisations(pattern):
    """Expand a pattern over every run that optimises each pair."""
    return results.expand(f"{RESULTS}/{pattern}", list(STUDY.optimisations()))


def audits(pattern):
    """Expand a pattern over every run whose search is audited."""
    audited = [run for run in STUDY.optimisations() if STUDY.audited(run.dataset, run.method)]
    return results.expand(f"{RESULTS}/{pattern}", audited)


def classical(pattern):
    """Expand a pattern over every run of SyN."""
    return results.expand(f"{RESULTS}/{pattern}", list(STUDY.classical()))


def others(wildcards, pattern):
    """What other losses, which do not know the labels of a pair, have left by the same method, of the first seed, where
    a search has no truth to start from."""
    if "field" in STUDY.capabilities[wildcards.dataset]["parts"]:
        return []
    found = [
        run
        for run in STUDY.optimisations()
        if run.loss != wildcards.loss
        and run.variant == "default"
        and run.seed in (None, STUDY.seeds[0])
        and not cards.card(run.loss).get("oracle")
    ]
    return results.expand(f"{RESULTS}/{pattern}", found, dataset=wildcards.dataset, method=wildcards.method)


def start(wildcards, pattern):
    """What the run has left that an optimisation starts from, where it starts from another method."""
    name = STUDY.optimisation(wildcards.dataset, wildcards.method, wildcards.loss)["start"]
    if name not in STUDY.methods:
        return []
    who = Run.of(wildcards)
    same = [run for run in RUNS if (run.dataset, run.method) == (who.dataset, name)]
    alike = [run for run in same if run.loss is None or (run.loss, run.variant) == (who.loss, who.variant)]
    # a run without a seed starts from the first one of those that have
    return f"{RESULTS}/{min(alike, key=lambda run: run.seed not in (None, who.seed)).path(pattern)}"


def exports():
    """The fields of every run in every convention that the study asks for."""
    return [path for convention in STUDY.exports for path in runs(results.EXPORT.replace("{convention}", convention))]


def unregistered(pattern):
    """Expand a pattern over the unregistered pairs of every dataset."""
    return results.expand(f"{RESULTS}/{pattern}", [Run(dataset, UNREGISTERED) for dataset in STUDY.datasets])


def no_registration(pattern):
    """The path of the unregistered pairs of any dataset."""
    return f"{RESULTS}/{Run('{dataset}', UNREGISTERED).path(pattern)}"


def pretrainings(pattern):
    """Expand a pattern over every extractor that the workflow trains."""
    return [f"{RESULTS}/{pattern}".format(dataset=d, extractor=e, seed=s) for d, e, s in STUDY.pretrainings()]


def learnt_curve(run):
    """The learning curve of the extractor of a run, where the workflow trains it."""
    learnt = STUDY.learnt(run)
    if not learnt:
        return None
    dataset, name = learnt
    return f"{RESULTS}/extractors/{results.PRETRAINED.format(dataset=dataset, extractor=name, seed=run.seed)}.csv"


@cache
def landscape_cases(loss):
    """What a loss is sampled on: every dataset that it applies to, in every variant, with extractors of the first seed."""
    weights, found = sampled_extractors(loss), []
    for dataset, variant in sampled(loss):
        needed = extractor(sampled_as(loss, dataset, variant))
        found.append(
            {
                "dataset": dataset,
                "variant": variant,
                "options": cards.completed(loss, STUDY.options(loss, variant)),
                "sampling": STUDY.landscape(dataset),
                "weights": weights.index(needed) if needed else None,
            }
        )
    return found


@cache
def sampled(loss):
    """The datasets and variants that a loss is sampled on: those that it applies to."""
    return [(d, variant) for d in STUDY.datasets for name, variant in STUDY.combinations(d) if name == loss]


def sampled_as(loss, dataset, variant):
    """The wildcards that decide the extractor of a loss and variant, of the first seed."""
    return SimpleNamespace(dataset=dataset, loss=loss, variant=variant, seed=STUDY.seeds[0])


def sampled_extractors(loss, kind="safetensors"):
    """The extractors that a loss is sampled with, each once: their weights or their descriptions."""
    needed = [extractor(sampled_as(loss, *where), kind) for where in sampled(loss)]
    return list(dict.fromkeys(path for path in needed if path))


def reads(wildcards):
    """What the card of a figure says that it reads."""
    return figures.card(wildcards.figure)["reads"]


def methods(*keys):
    """What the card of every method of the study says under some keys, for the jobs that use it."""
    return {name: method.plain(*keys) for name, method in STUDY.methods.items()}


def stated(key):
    """What the card of every loss says under a key, for the jobs that use it."""
    return {loss: cards.card(loss)[key] for loss in STUDY.losses}


def scored(*keys):
    """What the card of every metric says under some keys, for the jobs that use it."""
    return {name: {key: metrics.card(name)[key] for key in keys} for name in METRICS}


def primary(wildcards):
    """The metric that decides on λ for a dataset."""
    return metrics.primary(STUDY.capabilities[wildcards.dataset]["parts"])


def scored_code(script, wildcards, *modules):
    """Digest of what a job runs that scores by the primary metric, beside the modules that it imports by a name."""
    return code(script, *metrics.modules(primary(wildcards)), *modules)


def check_rules():
    """A rule file without a loss, or a loss without a rule, would be a hole in the study that no job reports."""
    folder = Path(workflow.basedir) / "workflow" / "rules" / "losses"
    for loss in STUDY.losses:
        if not (folder / f"{loss}.smk").is_file():
            sys.exit(f"{folder}/{loss}.smk: missing; copy the file of another loss and write `{loss}` for its name")


check_rules()
