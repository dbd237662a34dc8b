"""Check configuration and images, and tell jobs per rule, disk and time to expect. Called by `make check`."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import yaml  # noqa: E402

from likeness.configuration import ConfigurationError, Study  # noqa: E402
from likeness.forecast import forecast  # noqa: E402


def arguments() -> argparse.Namespace:
    """Read the command line: what Snakemake gets, as far as it decides the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/config.yaml", type=Path)
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def jobs(options: argparse.Namespace) -> dict[str, int]:
    """Ask Snakemake for the jobs per rule that are left to do."""
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--configfile", str(options.configfile)]
    call += ["--config", *options.config] if options.config else []
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError((done.stderr or done.stdout).strip())
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)}


def read(options: argparse.Namespace) -> dict:
    """Read the configuration as Snakemake does.

    Raises:
        ConfigurationError: if it is not there or no YAML.
    """
    if not options.configfile.is_file():
        msg = f"{options.configfile}: no such configuration; config/ holds those that come with the project"
        raise ConfigurationError(msg)
    try:
        config = yaml.safe_load(options.configfile.read_text())
    except yaml.YAMLError as error:
        msg = f"{options.configfile}: {' '.join(str(error).split())}; mend the YAML there"
        raise ConfigurationError(msg) from None
    if not isinstance(config, dict):
        msg = f"{options.configfile}: holds no keys and values; start with 'title: …'"
        raise ConfigurationError(msg)
    given = (entry.split("=", 1) for entry in options.config)
    return config | {key: yaml.safe_load(value) for key, value in given}


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
    todo = jobs(options)
    if not todo:
        print("Nothing to be done: every result is up to date.")
        return
    width = max(map(len, todo))
    print("\n".join(f"  {rule:{width}}  {count:5}" for rule, count in todo.items()))
    expected = forecast(study)
    cores = os.cpu_count() or 1
    print(
        f"\nThe whole study from nothing: about {expected.core_seconds / 60:.0f} core-minutes, "
        f"{expected.core_seconds / 60 / cores:.0f} minutes on the {cores} cores of this machine without a GPU, "
        f"{expected.kept_gb:.2g} GB on disk and {expected.peak_gb:.2g} GB while it runs "
        f"({expected.basis})."
    )


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        check()
    except ConfigurationError as error:
        sys.exit(str(error))
