"""What a refusal must tell, in whatever words: where the fault is, and the facts without which nobody can mend it.

How messages are worded is held by ``tests/userinput/test_golden_sentences.py`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from likeness.userinput.errors import UserError


def told(message: object, where: str, *facts: object) -> None:
    """Hold a message of one line to its place and its facts.

    Args:
        message: error or text.
        where: how it begins: file, and key, column, row or pair, for example ``"c.yaml: key 'training.step'"``.
        facts: what the rest of it names as whole words: the value, the name to use instead, a limit.
    """
    said = str(message)
    assert "\n" not in said, f"several lines:\n{said}"
    begun = re.match(re.escape(where) + (r"\b" if where[-1:].isalnum() else ""), said)
    assert begun, f"{said!r} does not begin with {where!r}"
    rest = said[begun.end() :]
    lacking = [fact for fact in facts if not re.search(rf"(?<![\w.]){re.escape(str(fact))}(?!\w|\.\d)", rest)]
    assert not lacking, f"{said!r} lacks {lacking} after {where!r}"


@contextmanager
def refused(kind: type[UserError], where: str, *facts: object) -> Iterator[None]:
    """Expect an error of exactly this class in a block, see :func:`told`."""
    with pytest.raises(kind) as caught:
        yield
    assert caught.type is kind, f"{caught.type.__name__}, not {kind.__name__}"
    told(caught.value, where, *facts)
