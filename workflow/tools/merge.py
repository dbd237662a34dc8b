"""Merge the results of one study that several machines made in parts: `make merge FROM="results-a results-b"`."""

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
        UserError: if it fails, with what it said last.
    """
    call = [sys.executable, "-m", "snakemake", "--configfile", str(configfile), "--quiet", "rules", "--cores", "all"]
    done = subprocess.run([*call, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError((done.stderr or done.stdout).strip())


def merge(configfile: Path, sources: list[Path]) -> Parts:
    """Take from other folders of results what the study lacks, and let Snakemake know it as its own.

    Raises:
        UserError: in one sentence, before anything is changed but data that was prepared.
    """
    study = Study.load(read(configfile), str(configfile))
    found = parts(study, sources)
    # prepared here, so that data is older than what is made from it, and known to be what this code prepares
    snakemake(configfile, *(f"{study.results}/data/{dataset}" for dataset in study.datasets))
    check_data(study, sources)
    take(found, Path(study.results))
    made = [f"{study.results}/{path}" for job, _ in found.taken for path in (*job.made, job.record)]
    for first in range(0, len(made), 1000):
        # records what was taken as made by the code and parameters that it was found to be made by
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
        print(f"{source}: {sum(place == source for _, place in found.taken)} jobs taken")
    print(f"{len(found.kept)} were here already, {len(found.left)} are left for `make figures`, and what follows.")


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(sentence(error) or str(error))
