"""Functions and constants for all rules: paths, runs, options of losses and variants; no rules."""

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
        # read again, because Snakemake accepts duplicate keys and uses the last one
        read(file)
    STUDY = Study.load(config, CONFIGFILE)
    FIGURES, METRICS = figures.names(), metrics.names()
except UserError as error:
    # an exit, because Snakemake would add locations in its own code to the message of an exception
    sys.exit(str(error))

# Jobs end with the process that started them; locks left by a killed Snakemake are cleared by the next run.
OWNER, ALONE = locks.enlist(Path(".snakemake") / ("owners" if workflow.is_main_process else "remote-owners"))
os.environ[jobs.OWNER] = str(Path(OWNER.name).resolve())
if workflow.is_main_process and ALONE:
    for lock in Path(".snakemake/locks").glob("*.lock"):
        lock.unlink()

RESULTS = STUDY.results
WORK = f"{RESULTS}/work"
# completed with defaults, because scripts read the folder of published weights from it
config["checkpoints"] = STUDY.config["checkpoints"]
TABLES = [
    "summary",
    "comparisons",
    "contrasts",
    "claims",
    "calibration",
    "matched",
    "reproduction",
    "ranks",
    "agreement",
    "picked",
    "power",
    "runs",
    "searches",
    "verdicts",
    "audit",
    "landscape",
]
if STUDY.config["warp_consistency"]["pairs"]:
    TABLES.append("warp_consistency")
if STUDY.conditions:
    TABLES.append("robustness")
DRAWN = FIGURES
RUN = results.RUN
RUNS = list(STUDY.runs())
TRAININGS = [Run(*training) for training in STUDY.trainings()]
# Extractors with published weights; the others are trained.
PUBLISHED = "|".join(STUDY.published) or "(?!)"
# No group in a large study: whenever a job ends, Snakemake checks the inputs of its whole group.
TOGETHER = "tables_and_figures" if len(RUNS) < 500 else None
SAMPLED = [
    loss for loss in STUDY.losses if any(STUDY.inapplicable(dataset, loss) is None for dataset in STUDY.datasets)
]
if STUDY.tunes:
    # test pairs are not looked at, and trials of one loss are not compared with those of another
    TABLES, DRAWN, SAMPLED = ["tuning"], [], []


def named(methods):
    """Return a wildcard constraint that matches the given names, or nothing if there are none."""
    return "|".join(methods) or "(?!)"


def trained(pattern):
    """Restrict a pattern to methods with a trained network."""
    return restricted(pattern, lambda method: method.trained)


def optimised(pattern):
    """Restrict a pattern to per-pair optimisation."""
    return restricted(pattern, lambda method: method.optimised)


def by_classical(pattern):
    """Restrict a pattern to classical methods."""
    return restricted(pattern, lambda method: method.path)


def restricted(pattern, kind):
    """Restrict a pattern to methods of a kind.

    The restriction is part of the pattern, because a rule that inherits another replaces its wildcard constraints, and
    two rules for the fields of one method would be ambiguous.
    """
    return pattern.replace("{method}", f"{{method,{named(name for name, m in STUDY.methods.items() if kind(m))}}}")


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9-]*",
    # '-' for parts that a method does not have
    method=named(name for name in STUDY.methods if name != UNREGISTERED),
    loss="[a-z0-9_]+|-",
    variant="[a-z0-9][a-z0-9_-]*|-",
    seed="[0-9]+|-",
    extractor="[a-z0-9_]+",


def script_path(name):
    """Return an absolute path; a relative one would be resolved from the rule file that inherits the rule."""
    return str(Path(workflow.basedir) / "workflow" / "scripts" / f"{name}.py")


def env_path(name):
    return str(Path(workflow.basedir) / "envs" / f"{name}.yaml")


def caption(name):
    return str(Path(workflow.basedir) / "workflow" / "report" / f"{name}.rst")


def code(script, *modules):
    """Return a digest of the code of a job, a param: changes rerun jobs, except for comments and messages."""
    return code_digest(Path(script_path(script)), *modules)


def raw_folder(wildcards, input):
    """Return the folder of a user dataset, or the one written for a built-in dataset."""
    return STUDY.config["datasets"][wildcards.dataset].get("folder") or str(input[0])


def user_tables(wildcards):
    """Return the tables of a user dataset, whose changes rerun everything; images are checked by size and time.

    They are local: if the results are in a remote storage, the folder is read on the machine that runs Snakemake.
    """
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    if own is None:
        return [f"{RESULTS}/raw/{wildcards.dataset}"]
    names = ("dataset.yaml", "images.csv", "pairs.csv")
    return [local(str(Path(own) / name)) for name in names if (Path(own) / name).is_file()]


def image_states(wildcards):
    """Return a digest of size and time of every image of a user dataset, so that changes rerun the preparation."""
    own = STUDY.config["datasets"][wildcards.dataset].get("folder")
    return layout.states(Path(own)) if own else ""


def check_files():
    """Check the results folder and the user's images before the first job, and print what is remarkable or missing."""
    try:
        check_results(STUDY.results, CONFIGFILE)
        for said in [*STUDY.check_images(), *STUDY.missing_checkpoints(), *STUDY.missing_fields()]:
            print(said, file=sys.stderr)
    except UserError as error:
        sys.exit(str(error))


def recipe(wildcards):
    return STUDY.config["datasets"][wildcards.dataset]["recipe"]


def maybe_temp(path):
    """Mark fields as temporary, to be deleted after scoring, unless the study keeps them."""
    return path if STUDY.config["keep_fields"] is True else temp(path)


def given_fields(pattern):
    """Restrict a pattern to methods with given fields."""
    return restricted(pattern, lambda method: method.kind == given.KIND)


def given_states(wildcards):
    """Return a digest of size and time of every given field, so that changed ones are read again."""
    convention = STUDY.config["methods"][wildcards.method]["convention"]
    return given.states(STUDY.given(wildcards.dataset, wildcards.method), convention)


def extractor(wildcards, kind="safetensors"):
    """Return the weights, or their description, of the extractor that a loss needs; empty if none.

    It is published, or pretrained on the same dataset, or on the one that a variant selects by ``trained_on``.
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
    """Return the extractor whose features a variant of a method registers; empty if none."""
    found = STUDY.features(Run.of(wildcards))
    if found is None:
        return []
    loss, variant = found
    return extractor(SimpleNamespace(dataset=wildcards.dataset, loss=loss, variant=variant, seed=wildcards.seed), kind)


def compared(wildcards):
    """List the modules of the extractor whose features a variant of a method registers."""
    found = STUDY.features(Run.of(wildcards))
    return [] if found is None else [f"likeness.extractors.{cards.card(found[0])['extractor']}"]


def options(wildcards):
    """Return all options of a loss and variant, with defaults, because cards are not part of the code digest."""
    return cards.completed(wildcards.loss, STUDY.options(wildcards.loss, wildcards.variant))


def growing(mem_mb):
    """Return memory in MB that increases with every retry, as cluster profiles request: large images need more."""
    return lambda wildcards, attempt: mem_mb * attempt


def runs(pattern):
    """Expand a pattern over every run of the study."""
    return results.expand(f"{RESULTS}/{pattern}", RUNS)


def trainings(pattern):
    """Expand a pattern over every run with a trained network."""
    return results.expand(f"{RESULTS}/{pattern}", TRAININGS)


def optimisations(pattern):
    """Expand a pattern over every run with per-pair optimisation."""
    return results.expand(f"{RESULTS}/{pattern}", list(STUDY.optimisations()))


def audits(pattern):
    """Expand a pattern over every run whose search is audited."""
    audited = [run for run in STUDY.optimisations() if STUDY.audited(run.dataset, run.method)]
    return results.expand(f"{RESULTS}/{pattern}", audited)


def warped_again(pattern):
    """Expand a pattern over every run whose pairs are registered again after a known warp."""
    return results.expand(f"{RESULTS}/{pattern}", list(STUDY.warped_again()))


def classical(pattern):
    """Expand a pattern over every run of a classical method."""
    return results.expand(f"{RESULTS}/{pattern}", list(STUDY.classical()))


def others(wildcards, pattern):
    """Return results of other losses with the same method and the first seed, for datasets without true fields.

    Losses that use the labels of the pair itself are excluded.
    """
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
    """Return the results of the run from which an optimisation starts, if it starts from another method."""
    name = STUDY.optimisation(wildcards.dataset, wildcards.method, wildcards.loss)["start"]
    if name not in STUDY.methods:
        return []
    who = Run.of(wildcards)
    same = [run for run in RUNS if (run.dataset, run.method) == (who.dataset, name)]
    alike = [run for run in same if run.loss is None or (run.loss, run.variant) == (who.loss, who.variant)]
    # a run without a seed starts from the first run with one
    return f"{RESULTS}/{min(alike, key=lambda run: run.seed not in (None, who.seed)).path(pattern)}"


def exports():
    """List the exported fields of every run, in every requested convention."""
    return [path for convention in STUDY.exports for path in runs(results.EXPORT.replace("{convention}", convention))]


def unregistered(pattern):
    """Expand a pattern over the unregistered pairs of every dataset."""
    return results.expand(f"{RESULTS}/{pattern}", [Run(dataset, UNREGISTERED) for dataset in STUDY.datasets])


def no_registration(pattern):
    """Return a pattern of paths for the unregistered pairs of a dataset."""
    return f"{RESULTS}/{Run('{dataset}', UNREGISTERED).path(pattern)}"


def pretrainings(pattern):
    """Expand a pattern over every extractor that the workflow trains."""
    return [f"{RESULTS}/{pattern}".format(dataset=d, extractor=e, seed=s) for d, e, s in STUDY.pretrainings()]


def learnt_curve(run):
    """Return the learning curve of the extractor of a run, if the workflow trains it."""
    learnt = STUDY.learnt(run)
    if not learnt:
        return None
    dataset, name = learnt
    return f"{RESULTS}/extractors/{results.PRETRAINED.format(dataset=dataset, extractor=name, seed=run.seed)}.csv"


@cache
def landscape_cases(loss):
    """List the cases for which a loss is sampled: datasets and variants, with extractors of the first seed."""
    weights, found = sampled_extractors(loss), []
    for dataset, variant in sampled(loss):
        needed = extractor(sampled_as(loss, dataset, variant))
        found.append(
            {
                "dataset": dataset,
                "variant": variant,
                "options": cards.completed(loss, STUDY.options(loss, variant)),
                "needs": sorted(cards.requires(loss, STUDY.options(loss, variant))),
                "sampling": STUDY.landscape(dataset),
                "weights": weights.index(needed) if needed else None,
            }
        )
    return found


@cache
def sampled(loss):
    """List the datasets and variants for which a loss is sampled: those that it applies to."""
    return [(d, variant) for d in STUDY.datasets for name, variant in STUDY.combinations(d) if name == loss]


def sampled_as(loss, dataset, variant):
    """Return the wildcards that determine the extractor of a loss and variant, for the first seed."""
    return SimpleNamespace(dataset=dataset, loss=loss, variant=variant, seed=STUDY.seeds[0])


def sampled_extractors(loss, kind="safetensors"):
    """List the weights, or the descriptions, of all extractors needed to sample a loss."""
    needed = [extractor(sampled_as(loss, *where), kind) for where in sampled(loss)]
    return list(dict.fromkeys(path for path in needed if path))


def reads(wildcards):
    """Return the inputs of a figure, from its card."""
    return figures.card(wildcards.figure)["reads"]


def methods(*keys):
    """Return properties of all methods of the study, for the params of jobs that use them."""
    return {name: method.plain(*keys) for name, method in STUDY.methods.items()}


def stated(key):
    """Return a key of the cards of all losses of the study, for the params of jobs that use it."""
    return {loss: cards.card(loss)[key] for loss in STUDY.losses}


def scored(*keys):
    """Return keys of the cards of all metrics, for the params of jobs that use them."""
    return {name: {key: metrics.card(name)[key] for key in keys} for name in METRICS}


def primary(wildcards):
    """Return the metric by which λ is chosen on a dataset."""
    return metrics.primary(STUDY.capabilities[wildcards.dataset]["parts"])


def scored_code(script, wildcards, *modules):
    """Return a digest of the code of a job that uses the primary metric, including dynamically imported modules."""
    return code(script, *metrics.modules(primary(wildcards)), *modules)


def check_rules():
    """Check that every loss has a rule file; otherwise the study would silently lack it."""
    folder = Path(workflow.basedir) / "workflow" / "rules" / "losses"
    for loss in STUDY.losses:
        if not (folder / f"{loss}.smk").is_file():
            sys.exit(f"{folder}/{loss}.smk: missing; `make loss NAME={loss}` creates a new loss as an example")


check_rules()
