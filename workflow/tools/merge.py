"""Merge results of one study computed in parts on several machines: `make merge FROM="results-a results-b"`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from likeness.config.study import Study, read  # noqa: E402
from likeness.planning.merge import Parts, check_data, parts, take  # noqa: E402
from likeness.userinput.errors import UserError, sentence  # noqa: E402


def snakemake(configfile: Path, *arguments: str) -> None:
    """Run Snakemake on some of the study's files.

    Raises:
        UserError: if it fails, with its output.
    """
    call = [sys.executable, "-m", "snakemake", "--configfile", str(configfile), "--quiet", "rules", "--cores", "all"]
    done = subprocess.run([*call, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError((done.stderr or done.stdout).strip())


def merge(configfile: Path, sources: list[Path]) -> Parts:
    """Copy missing results from other results folders, and register them with Snakemake.

    Raises:
        UserError: if results do not match; nothing has been changed then, except for prepared data.
    """
    study = Study.load(read(configfile), str(configfile))
    found = parts(study, sources)
    # prepared first, so that the data are older than the results, and are those that the current code prepares
    snakemake(configfile, *(f"{study.results}/data/{dataset}" for dataset in study.datasets))
    check_data(study, sources)
    take(found, Path(study.results))
    made = [f"{study.results}/{path}" for job, _ in found.taken for path in (*job.made, job.record)]
    for first in range(0, len(made), 1000):
        # registers the results with the code and parameters that they were verified against
        snakemake(configfile, "--touch", "--force", *made[first : first + 1000])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config/config.yaml", type=Path)
    parser.add_argument("sources", nargs="*", type=Path, metavar="RESULTS")
    options = parser.parse_args()
    if not options.sources:
        sys.exit('FROM is missing: make merge FROM="results-a results-b" CONFIG=…')
    found = merge(options.configfile, options.sources)
    for source in options.sources:
        print(f"{source}: {sum(place == source for _, place in found.taken)} jobs copied")
    print(f"{len(found.kept)} jobs existed, {len(found.left)} and those after them are left for `make figures`.")


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(sentence(error) or str(error))
