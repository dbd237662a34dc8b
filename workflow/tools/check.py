"""Check configuration and images, and tell jobs per rule, disk and time to expect. Called by `make check`."""

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
from likeness.planning.costs import measured, recorded  # noqa: E402
from likeness.planning.forecast import Expected, Forecast, Plan, forecast, plan  # noqa: E402
from likeness.runtime import gpus  # noqa: E402
from likeness.userinput.errors import ConfigurationError, UserError  # noqa: E402

MEASURE_SECONDS = 60.0
"""What `make check` takes at most to measure; the cost of what is left stays unknown."""


def arguments() -> argparse.Namespace:
    """Read the command line: what Snakemake gets, as far as it decides the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/config.yaml", type=Path)
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="do not measure what nobody recorded")
    return parser.parse_args()


def jobs(options: argparse.Namespace) -> dict[str, int]:
    """Ask Snakemake for the jobs per rule that are left to do."""
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--configfile", str(options.configfile)]
    call += ["--config", *options.config] if options.config else []
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError((done.stderr or done.stdout).strip())
    counts = re.finditer(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    return {m[1]: int(m[2]) for m in counts if m[1] not in ("all", "total")}


def read(options: argparse.Namespace) -> dict:
    """Read the configuration as Snakemake does.

    Raises:
        ConfigurationError: if it is not there or no YAML, or if what is given beside it is no pair of key and value.
    """
    config = configuration.read(options.configfile)
    try:
        update_config(config, parse_config(options.config))
    except ValueError as error:
        msg = f"--config: {error}; write KEY=VALUE"
        raise ConfigurationError(msg) from None
    return config


def estimated(planned: Plan, quick: bool) -> Forecast:
    """Forecast the study from what is recorded, and what is measured now unless it shall be quick."""
    records = recorded(planned)
    unknown = [kind for kind in planned.kinds if (kind.job, *kind.who) not in records]
    if quick:
        return forecast(planned, records)
    script, cache = ROOT / "workflow" / "tools" / "measure.py", ROOT / "results" / "work" / "steps.json"
    with tqdm(desc="measuring steps, QUICK=1 skips it", leave=False, disable=None) as bar:

        def told(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return forecast(planned, records, measured(unknown, script, cache, MEASURE_SECONDS, told))


def span(seconds: float, unit: str = "") -> str:
    """Say a time in minutes, or in hours where there are many."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} {unit}minute{'s' * (minutes > 1)}" if minutes < 120 else f"{seconds / 3600:.3g} {unit}hours"


def minutes(jobs: Expected) -> str:
    """Say the core-minutes of jobs, or that nobody knows those of any."""
    return "–" if jobs.unknown >= jobs.jobs else f"{jobs.core_seconds / 60:.1f}"


def table(expected: Forecast, todo: dict[str, int]) -> str:
    """List the jobs left to do by rule, with what they take."""
    rows = [(rule, str(count), minutes(expected.left({rule: count}))) for rule, count in todo.items()]
    head = ("rule", "jobs", "core-minutes")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        f"  {rule:{widths[0]}}  {count:>{widths[1]}}  {core:>{widths[2]}}" for rule, count, core in (head, *rows)
    )


def summary(expected: Forecast, todo: dict[str, int]) -> str:
    """Say what is left to do takes, the whole study, and how well that is known."""
    left, cores, devices = expected.left(todo), os.cpu_count() or 1, len(gpus.present())
    wall = max(left.core_seconds / cores, (left.gpu_seconds or 0.0) / max(1, devices))
    lacking = f" and what is fetched: the size of {', '.join(expected.unsized)} is not known" * bool(expected.unsized)
    where = f"the {cores} cores of this machine" + (f" and its {devices} GPUs" if devices else " without a GPU")
    memory = "memory unknown" if expected.peak_mb is None else f"up to {expected.peak_mb / 1e3:.1f} GB of memory a job"
    room = f"{expected.kept_gb:.2g} GB on disk and {expected.peak_gb(cores):.2g} GB while it runs{lacking}; {memory}"
    if not left.core_seconds:
        return "\n".join([f"Left to do: time unknown; {room}.", *uncounted(expected, todo)])
    said = [
        f"Left to do: about {span(left.core_seconds, 'core-')}, {span(max(wall, min(wall * cores, expected.longest)))} "
        f"on {where}; {room}.",
        f"The whole study from nothing: about {span(expected.core_seconds, 'core-')}.",
    ]
    if left.gpu_seconds is None:
        said.append("GPU-hours: unknown until jobs ran on a GPU, or `make check` where there is one.")
    else:
        said.append(f"Of a GPU: about {span(left.gpu_seconds, 'GPU-')}.")
    return "\n".join([*said, *uncounted(expected, todo)])


def uncounted(expected: Forecast, todo: dict[str, int]) -> list[str]:
    """Say what is not known, and how the rest is."""
    unknown = [rule for rule, count in todo.items() if expected.left({rule: count}).unknown]
    said = []
    if unknown:
        said.append(f"Not counted, since such jobs are neither recorded nor measured: {', '.join(unknown)}.")
    if expected.unmeasured:
        said.append(f"Of these, {', '.join(expected.unmeasured)} can be measured once the weights are converted.")
    names = {"recorded": "recorded in this study", "measured": "measured here", "unknown": "unknown"}
    known = [f"{expected.sources[source]} {name}" for source, name in names.items() if expected.sources[source]]
    return [*said, f"Kinds of jobs: {', '.join(known)}."]


def check() -> None:
    """Print the verdict.

    Raises:
        ConfigurationError: what is wrong, in one sentence.
    """
    options = arguments()
    study = Study.load(read(options), str(options.configfile))
    study.check_images()
    print(f"{options.configfile}: {study.config['title']}: configuration and images are in order.\n")
    for name in study.datasets:
        for loss in study.losses:
            if reason := study.inapplicable(name, loss):
                print(f"  {loss} is left out on {name}: {reason}")
                continue
            for variant in study.variants(loss):
                if reason := study.left_out(name, loss, variant):
                    print(f"  {loss}, {variant}, is left out on {name}: {reason}")
    for said in [*study.missing_checkpoints(), *study.missing_fields()]:
        print(f"  {said}")
    todo = jobs(options)
    if not todo:
        print("Nothing to be done: every result is up to date.")
        return
    expected = estimated(plan(study), options.quick)
    print(f"{table(expected, todo)}\n\n{summary(expected, todo)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        check()
    except UserError as error:
        sys.exit(str(error))
