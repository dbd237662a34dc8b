"""Report problems in one sentence before Snakemake would report them in many lines. Called by `make figures`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from likeness.config.study import check_results, read  # noqa: E402
from likeness.runtime.atomic import check_writable  # noqa: E402
from likeness.userinput.errors import UserError  # noqa: E402


def check_state() -> None:
    """Check that Snakemake can write its state.

    Raises:
        UserError: if one of its folders is not writable.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fixes = {
        ROOT / ".snakemake": "free some space or change its permissions, or use a copy of the project elsewhere",
        cache / "snakemake": "set XDG_CACHE_HOME to a writable folder",
    }
    for folder, fix in fixes.items():
        try:
            check_writable(folder)
        except OSError as error:
            msg = f"{folder}: Snakemake cannot write its state here ({error.strerror}); {fix}"
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
