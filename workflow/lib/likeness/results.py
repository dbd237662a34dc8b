"""Names of runs and paths of their results, used by workflow, tables, planning and merging.

A run is a method on one dataset, with one loss, variant and seed where it has them. Missing parts are ``None`` in code,
``-`` in paths and null in tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

KEYS = ("dataset", "method", "loss", "variant", "seed")
"""Columns that identify a run."""
ABSENT = "-"
"""Placeholder in paths for parts that a method does not have."""

TRUTH = "truth"
"""Name of the true fields in a study, as a start of a search."""

RUN = "{dataset}/{method}/{loss}/{variant}/seed{seed}"
MODELS = f"models/{RUN}"
FIELDS = f"fields/{RUN}"
EXPORT = f"exports/{{convention}}/{RUN}"
SCORES = f"scores/{RUN}.parquet"
SEARCH = f"scores/{RUN}.json"
SAMPLE = f"samples/{RUN}.npz"
AUDIT = f"audits/{RUN}.csv"
TRACE = f"audits/{RUN}.trace.csv"
CONSISTENCY = f"consistency/{RUN}.csv"
PRETRAINED = "{dataset}/{extractor}/seed{seed}"
"""Paths relative to the results folder; braces are Snakemake wildcards."""

ENDS = ("moving", "fixed", "start", "evaluations", "converged", "dissimilarity", "energy", "objective", "score")
STEPS = ("moving", "fixed", "evaluations", "objective", "score")
"""Columns of :data:`AUDIT` and :data:`TRACE` after those that identify a run and its λ."""


class Run(NamedTuple):
    """The identity of a run."""

    dataset: str
    method: str
    loss: str | None = None
    variant: str | None = None
    seed: int | None = None

    @classmethod
    def of(cls, wildcards: Any) -> Run:
        """Create a run from Snakemake's wildcards, or any object with these attributes as text."""
        loss, variant, seed = (
            None if getattr(wildcards, key) == ABSENT else getattr(wildcards, key)
            for key in ("loss", "variant", "seed")
        )
        return cls(wildcards.dataset, wildcards.method, loss, variant, None if seed is None else int(seed))

    @property
    def wildcards(self) -> dict[str, str]:
        """Values of the wildcards in paths."""
        return {key: ABSENT if value is None else str(value) for key, value in self._asdict().items()}

    @property
    def place(self) -> str:
        """Path that identifies the run, below the folder for each kind of result."""
        return self.path(RUN)

    def path(self, pattern: str) -> str:
        """Fill in a pattern such as :data:`SCORES`."""
        return pattern.format(**self.wildcards)


def record(rule: str, place: str) -> str:
    """Return the path of the record of a job's duration, for ``runtime.csv``."""
    return f"runtimes/{rule}/{place}.json"


def log(rule: str, place: str) -> str:
    """Return the path of a job's log."""
    return f"logs/{rule}/{place}.log"


def expand(pattern: str, runs: list[Run], **only: Any) -> list[str]:
    """Fill in a pattern for every run that matches the values of ``only``."""
    return [run.path(pattern) for run in runs if all(getattr(run, key) == value for key, value in only.items())]
