"""How a run is named and where its results lie: the one place for paths, tables, planning and merging.

A run is a method, with one loss and variant and one seed where it has them, on one dataset. What it does not have is
``None``: ``-`` in paths, null in tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

KEYS = ("dataset", "method", "loss", "variant", "seed")
"""The columns that name a run."""
ABSENT = "-"
"""In paths, for what a method does not have."""

TRUTH = "truth"
"""What a study calls the true fields, from which a search may start."""

RUN = "{dataset}/{method}/{loss}/{variant}/seed{seed}"
MODELS = f"models/{RUN}"
FIELDS = f"fields/{RUN}"
EXPORT = f"exports/{{convention}}/{RUN}"
SCORES = f"scores/{RUN}.parquet"
SEARCH = f"scores/{RUN}.json"
SAMPLE = f"samples/{RUN}.npz"
AUDIT = f"audits/{RUN}.csv"
TRACE = f"audits/{RUN}.trace.csv"
PRETRAINED = "{dataset}/{extractor}/seed{seed}"
"""Paths relative to the folder of results; the braces are Snakemake's wildcards."""

ENDS = ("moving", "fixed", "start", "evaluations", "converged", "dissimilarity", "energy", "objective", "score")
STEPS = ("moving", "fixed", "evaluations", "objective", "score")
"""Columns of :data:`AUDIT` and :data:`TRACE` after those that name a run and its λ."""


class Run(NamedTuple):
    """The name of a run."""

    dataset: str
    method: str
    loss: str | None = None
    variant: str | None = None
    seed: int | None = None

    @classmethod
    def of(cls, wildcards: Any) -> Run:
        """Read the name from Snakemake's wildcards, or from anything else with these attributes as text."""
        loss, variant, seed = (
            None if getattr(wildcards, key) == ABSENT else getattr(wildcards, key)
            for key in ("loss", "variant", "seed")
        )
        return cls(wildcards.dataset, wildcards.method, loss, variant, None if seed is None else int(seed))

    @property
    def wildcards(self) -> dict[str, str]:
        """The name as paths have it."""
        return {key: ABSENT if value is None else str(value) for key, value in self._asdict().items()}

    @property
    def place(self) -> str:
        """The path that tells the run from others, below the folders of each kind of result."""
        return self.path(RUN)

    def path(self, pattern: str) -> str:
        """Fill a pattern such as :data:`SCORES` in."""
        return pattern.format(**self.wildcards)


def record(rule: str, place: str) -> str:
    """Give the path of what a job took, for ``runtime.csv``."""
    return f"runtimes/{rule}/{place}.json"


def log(rule: str, place: str) -> str:
    """Give the path of a job's log."""
    return f"logs/{rule}/{place}.log"


def expand(pattern: str, runs: list[Run], **only: Any) -> list[str]:
    """Fill a pattern in for every run that has the values of ``only``."""
    return [run.path(pattern) for run in runs if all(getattr(run, key) == value for key, value in only.items())]
