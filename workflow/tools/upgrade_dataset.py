"""Upgrade a dataset folder of the former layout: `make upgrade-dataset FOLDER=data/mine`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from likeness.data.upgrade import upgrade  # noqa: E402
from likeness.userinput.errors import UserError  # noqa: E402


def main(arguments: list[str]) -> None:
    """Upgrade the folder and print what was renamed.

    Raises:
        UserError: if the folder cannot be upgraded; nothing has been changed then.
    """
    folder = arguments[0] if arguments else ""
    if not folder:
        msg = "FOLDER is missing: make upgrade-dataset FOLDER=data/mine"
        raise UserError(msg)
    print(f"{folder}: renamed {', '.join(upgrade(Path(folder)))}.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: cannot be written ({error.strerror}); run again with write permission")
