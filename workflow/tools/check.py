"""Check configuration and images, and print jobs per rule, disk space and expected duration. Called by `make check`."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from snakemake.cli import parse_config  # noqa: E402
from snakemake.utils import update_config  # noqa: E402
from tqdm import tqdm  # noqa: E402

from likeness.config import study as configuration  # noqa: E402
from likeness.config.study import Study  # noqa: E402
from likeness.data import layout  # noqa: E402
from likeness.data.store import ATLAS  # noqa: E402
from likeness.planning.costs import measured, recorded  # noqa: E402
from likeness.planning.forecast import Expected, Forecast, Plan, forecast, plan  # noqa: E402
from likeness.runtime import gpus  # noqa: E402
from likeness.statistics.mixed_model import FEWEST_SUBJECTS  # noqa: E402
from likeness.userinput.errors import ConfigurationError, UserError  # noqa: E402

MEASURE_SECONDS = 60.0
"""Time limit of measurements in `make check`; costs not measured by then stay unknown."""


def arguments() -> argparse.Namespace:
    """Parse the command line: the options of Snakemake that affect the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/config.yaml", type=Path)
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="do not measure costs that are not recorded")
    return parser.parse_args()


def jobs(options: argparse.Namespace) -> dict[str, int]:
    """Return the number of remaining jobs per rule, from a dry run of Snakemake."""
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--configfile", str(options.configfile)]
    call += ["--config", *options.config] if options.config else []
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError((done.stderr or done.stdout).strip())
    counts = re.finditer(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    return {m[1]: int(m[2]) for m in counts if m[1] not in ("all", "total")}


def read(options: argparse.Namespace) -> dict:
    """Read the configuration in the same way as Snakemake.

    Raises:
        ConfigurationError: if the file does not exist or is not valid YAML, or ``--config`` is not KEY=VALUE.
    """
    config = configuration.read(options.configfile)
    try:
        update_config(config, parse_config(options.config))
    except ValueError as error:
        msg = f"--config: {error}; write KEY=VALUE"
        raise ConfigurationError(msg) from None
    return config


def estimated(planned: Plan, quick: bool) -> Forecast:
    """Forecast the study from recorded costs and, unless ``quick``, new measurements."""
    records = recorded(planned)
    unknown = [kind for kind in planned.kinds if (kind.job, *kind.who) not in records]
    if quick:
        return forecast(planned, records)
    script, cache = ROOT / "workflow" / "tools" / "measure.py", ROOT / "results" / "work" / "steps.json"
    with tqdm(desc="measuring steps, skip with QUICK=1", leave=False, disable=None) as bar:

        def told(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return forecast(planned, records, measured(unknown, script, cache, MEASURE_SECONDS, told))


def span(seconds: float, unit: str = "") -> str:
    """Format a duration in minutes, or in hours if it is long."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} {unit}minute{'s' * (minutes > 1)}" if minutes < 120 else f"{seconds / 3600:.3g} {unit}hours"


def minutes(jobs: Expected) -> str:
    """Format the core-minutes of jobs; a dash if all are unknown."""
    return "–" if jobs.unknown >= jobs.jobs else f"{jobs.core_seconds / 60:.1f}"


def table(expected: Forecast, todo: dict[str, int]) -> str:
    """List the remaining jobs by rule, with their costs."""
    rows = [(rule, str(count), minutes(expected.left({rule: count}))) for rule, count in todo.items()]
    head = ("rule", "jobs", "core-minutes")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        f"  {rule:{widths[0]}}  {count:>{widths[1]}}  {core:>{widths[2]}}" for rule, count, core in (head, *rows)
    )


def summary(expected: Forecast, todo: dict[str, int]) -> str:
    """Describe the resources for the remaining jobs and for the whole study, and the basis of the estimates."""
    left, cores, devices = expected.left(todo), os.cpu_count() or 1, len(gpus.present())
    wall = max(left.core_seconds / cores, (left.gpu_seconds or 0.0) / max(1, devices))
    lacking = f" plus downloads: the size of {', '.join(expected.unsized)} is unknown" * bool(expected.unsized)
    where = f"the {cores} cores of this machine" + (f" and its {devices} GPUs" if devices else " without a GPU")
    memory = "memory unknown" if expected.peak_mb is None else f"up to {expected.peak_mb / 1e3:.1f} GB memory per job"
    room = f"{expected.kept_gb:.2g} GB on disk, {expected.peak_gb(cores):.2g} GB while running{lacking}; {memory}"
    if not left.core_seconds:
        return "\n".join([f"Remaining: time unknown; {room}.", *uncounted(expected, todo)])
    said = [
        f"Remaining: about {span(left.core_seconds, 'core-')}, {span(max(wall, min(wall * cores, expected.longest)))} "
        f"on {where}; {room}.",
        f"Whole study from scratch: about {span(expected.core_seconds, 'core-')}.",
    ]
    if left.gpu_seconds is None:
        said.append("GPU-hours: unknown until jobs have run on a GPU, or `make check` is run on a machine with one.")
    else:
        said.append(f"On a GPU: about {span(left.gpu_seconds, 'GPU-')}.")
    return "\n".join([*said, *uncounted(expected, todo)])


def uncounted(expected: Forecast, todo: dict[str, int]) -> list[str]:
    """Describe which costs are unknown, and the source of the others."""
    unknown = [rule for rule, count in todo.items() if expected.left({rule: count}).unknown]
    said = []
    if unknown:
        said.append(f"Not included, because such jobs are neither recorded nor measured: {', '.join(unknown)}.")
    if expected.unmeasured:
        said.append(f"Of these, {', '.join(expected.unmeasured)} can be measured after conversion of the weights.")
    names = {"recorded": "recorded in this study", "measured": "measured here", "unknown": "unknown"}
    known = [f"{expected.sources[source]} {name}" for source, name in names.items() if expected.sources[source]]
    return [*said, f"Kinds of jobs: {', '.join(known)}."]


def few_subjects(study: Study) -> list[str]:
    """Describe the user's own datasets whose test pairs are of too few subjects for intervals and p."""
    said = []
    for name in study.datasets:
        folder = study.config["datasets"][name].get("folder")
        raw = layout.check_tables(folder) if folder else None
        if raw is None:
            continue
        images = {str(id) for pair in layout.candidates(raw, "test") for id in pair if raw.images.split[id] != ATLAS}
        subjects = {(str(raw.images.subject[id]) if "subject" in raw.images else "") or id for id in images}
        if len(subjects) < FEWEST_SUBJECTS:
            said.append(
                f"{name} has {len(subjects)} test subject{'s' * (len(subjects) != 1)}, fewer than {FEWEST_SUBJECTS}: "
                "its tables have means, but no intervals and no p"
            )
    return said


def check() -> None:
    """Check the study and print the result.

    Raises:
        ConfigurationError: if something is wrong.
    """
    options = arguments()
    study = Study.load(read(options), str(options.configfile))
    remarks = study.check_images()
    print(f"{options.configfile}: {study.config['title']}: configuration and images are valid.\n")
    for name in study.datasets:
        for loss in study.losses:
            if reason := study.inapplicable(name, loss):
                print(f"  {loss} is skipped on {name}: {reason}")
                continue
            for variant in study.variants(loss):
                if reason := study.left_out(name, loss, variant):
                    print(f"  {loss}, {variant}, is skipped on {name}: {reason}")
    for said in [*remarks, *few_subjects(study), *study.missing_checkpoints(), *study.missing_fields()]:
        print(f"  {said}")
    todo = jobs(options)
    if not todo:
        print("Nothing to be done: all results are up to date.")
        return
    expected = estimated(plan(study), options.quick)
    print(f"{table(expected, todo)}\n\n{summary(expected, todo)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        check()
    except UserError as error:
        sys.exit(str(error))
