"""Say in a sentence what Snakemake would say in many lines, before it starts. Called by `make figures`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from likeness.config.study import check_results, read  # noqa: E402
from likeness.runtime.atomic import check_writable  # noqa: E402
from likeness.userinput.errors import UserError  # noqa: E402


def check_state() -> None:
    """Try whether Snakemake can keep its state.

    Raises:
        UserError: if one of its folders cannot be written to.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fixes = {
        ROOT / ".snakemake": "free some space or change its permissions, or use a copy of the project elsewhere",
        cache / "snakemake": "set XDG_CACHE_HOME to a folder that can be written to",
    }
    for folder, fix in fixes.items():
        try:
            check_writable(folder)
        except OSError as error:
            msg = f"{folder}: Snakemake keeps its state here, but cannot write ({error.strerror}); {fix}"
            raise UserError(msg) from None


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        config = read(sys.argv[1])
        check_state()
        if isinstance(config.get("results"), str):
            check_results(config["results"], sys.argv[1])
    except UserError as error:
        sys.exit(str(error))
