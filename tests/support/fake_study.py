"""A made-up study: tables as the workflow writes them, without any image or training.

The numbers obey the rules that the statistics rely on: a subject effect, mirrored pairs, a choice of λ with a best
value in between, folding that falls with λ, labels that are absent, trainings that diverge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from likeness import losses
from likeness.evaluation.table import COLUMNS as TABLE
from likeness.evaluation.table import TYPES
from likeness.methods.kinds import UNREGISTERED, Method, method
from likeness.results import KEYS, Run
from likeness.statistics.selection import candidates, choose, mark

COLUMNS = [*TABLE, "chosen"]
PROFILES = ["dataset", "loss", "variant", "reference", "pair", "transform", "line", "distance", "value", "unit"]
KINDS = ("translation", "rotation", "scaling", "deformation")
LAMS = (0.25, 0.5, 1.0, 2.0, 4.0)
CARD = """CARD = {{
    "title": "{title}", "order": {order}, "colour": "{colour}", "marker": "{marker}", "supervision": "{supervision}",
    "formula": "0", "range": [0, 1], "doi": None,
}}
"""
NONE = method(UNREGISTERED)


def made_up(name: str, **said: object) -> Method:
    """Make a method up, of no kind that exists."""
    card = {"title": name.title(), "order": 500, "colour": "#000000", "marker": "d"}
    nothing = dict.fromkeys(("uses_loss", "has_lam", "seeded", "trained", "optimised"), False)
    scale = "balanced" if said.get("has_lam") else None
    return Method(**{"name": name, "kind": name, "scale": scale, **nothing, **card, **said})


METHODS = {
    "voxelmorph": method("voxelmorph", scale="balanced"),
    "transmorph": made_up("transmorph", uses_loss=True, has_lam=True, seeded=True, trained=True),
    # each has a part of what a network has
    "given": made_up("given"),
    "direct": made_up("direct", uses_loss=True),
    "classical": made_up("classical", has_lam=True, colour="#D55E00", marker="H"),
    UNREGISTERED: NONE,
}
LOSSES = {
    "mse": ("MSE", "#4477AA", "o", "none"),
    "mse_masked": ("MSE masked", "#66CCEE", "s", "none"),
    "ncc": ("NCC", "#228833", "^", "none"),
    "ncc_masked": ("NCC masked", "#AAAA00", "v", "none"),
    "nmi": ("NMI", "#CCBB44", "D", "none"),
    "mind": ("MIND-SSC", "#AA3377", "P", "none"),
    "deepsim_ae": ("DeepSim-AE", "#882255", "X", "in-domain"),
    "deepsim_seg": ("DeepSim-seg", "#EE6677", "h", "labels"),
    "ncc_sup": ("NCC + labels", "#999933", "p", "labels"),
}


@dataclass
class Made:
    """What is made up for one dataset."""

    name: str
    dims: int = 2
    field: bool = True
    unit: str = "mm"
    stress_test: bool = True
    subjects: int = 12
    pairs: int = 20
    labels: Sequence[str] = ("cortex", "white matter", "ventricle")
    missing: Sequence[str] = ()
    diverged: Sequence[str] = ()

    @property
    def meta(self) -> dict[str, object]:
        """What ``dataset.yaml`` says, as far as figures read it."""
        return {"name": self.name, "spatial_dims": self.dims, "stress_test": self.stress_test}


DATASETS = (
    Made("mni-brain"),
    Made("mni-head", diverged=("nmi",)),
    Made("cells", field=False, unit="nm", stress_test=False, missing=("mse_masked", "ncc_masked"), subjects=24),
    Made("mni-brain-3d", dims=3, subjects=4, pairs=4),
)


def write_cards(folder: Path) -> None:
    """Write modules with nothing but a card, for a test that shall not depend on the losses that exist."""
    for place, (name, (title, colour, marker, supervision)) in enumerate(LOSSES.items()):
        text = CARD.format(title=title, order=place, colour=colour, marker=marker, supervision=supervision)
        (folder / f"{name}.py").write_text(text)


@contextmanager
def only_made_up_losses(folder: Path) -> Iterator[None]:
    """Let there be no losses but those of :func:`write_cards`, for the length of a block."""
    folder.mkdir()
    write_cards(folder)
    there, losses.FOLDER = losses.FOLDER, folder
    losses.card.cache_clear()
    try:
        yield
    finally:
        losses.FOLDER = there
        losses.card.cache_clear()


@dataclass
class Study:
    """The made-up tables: ``metrics`` without a choice of λ, ``curves``, and ``datasets``, name → dataset.yaml."""

    datasets: Sequence[Made] = DATASETS
    losses: Sequence[str] = tuple(LOSSES)
    variants: dict[str, Sequence[str]] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    named: Sequence[str] = ("voxelmorph",)
    """Names of its methods, of :data:`METHODS`."""

    @property
    def methods(self) -> dict[str, Method]:
        """The methods of the study, as :class:`likeness.config.study.Study` has them."""
        return {name: METHODS[name] for name in (*self.named, UNREGISTERED)}

    def metrics(self) -> pd.DataFrame:
        return self._metrics.copy()

    @cached_property
    def _metrics(self) -> pd.DataFrame:
        rows = [row for made in self.datasets for row in self._dataset(made)]
        return pd.DataFrame(rows, columns=COLUMNS).astype(TYPES)

    def metas(self) -> dict[str, dict[str, object]]:
        return {made.name: made.meta for made in self.datasets}

    def combinations(self, made: Made) -> list[tuple[str, str]]:
        return [
            (loss, variant)
            for loss in self.losses
            if loss not in made.missing
            for variant in ("default", *self.variants.get(loss, ()))
        ]

    def runs(self, made: Made) -> list[Run]:
        return [
            Run(made.name, name, loss, variant, seed)
            for name in self.named
            for loss, variant in (self.combinations(made) if METHODS[name].uses_loss else [(None, None)])
            for seed in (self.seeds if METHODS[name].seeded else [None])
        ]

    def _dataset(self, made: Made) -> list[tuple]:
        rows: list[tuple] = []
        for split in ("val", "test"):
            rng = np.random.default_rng(len(made.name) + len(split))
            pairs = make_pairs(rng, made, split)
            effect = dict(zip(subjects(made, split), rng.normal(0, 1, made.subjects), strict=True))
            for pair in pairs:
                who = (*pair, *pair)
                base = 0.1 * (effect[pair[0]] + effect[pair[1]]) + 0.06 * rng.normal()
                head = (made.name, split, UNREGISTERED, None, None, None, np.nan, *who)
                rows += [(*head, *score, True) for score in _scores(made, 0.0, base, 0.0)]
                for _, name, loss, variant, seed in self.runs(made):
                    quality = 0.55 + 0.04 * list(LOSSES).index(loss) if loss in LOSSES else 0.7
                    quality += 0.02 * (variant not in (None, "default")) + 0.01 * (seed or 0)
                    for lam in LAMS if METHODS[name].has_lam else [np.nan]:
                        strength = 1.0 if np.isnan(lam) else lam
                        gain = np.nan if loss in made.diverged else quality - 0.08 * np.log2(strength) ** 2
                        head = (made.name, split, name, loss, variant, seed, lam, *who)
                        noise = 0.03 * rng.normal()
                        rows += [(*head, *score, False) for score in _scores(made, gain + noise, base, 0.3 / strength)]
        return rows

    def curves(self) -> pd.DataFrame:
        rows = []
        for made in self.datasets:
            rng = np.random.default_rng(1)
            for run in (run for run in self.runs(made) if METHODS[run.method].trained):
                for lam in LAMS:
                    level = 1 + 0.05 * self.losses.index(run.loss) - 0.1 * np.log2(lam) ** 2
                    for step in range(0, 1001, 50):
                        score = 0.4 + 0.3 * level * (1 - np.exp(-step / 200)) + 0.005 * rng.normal()
                        score = 4 - 4 * score if made.field else score
                        if run.loss in made.diverged and step > 300:
                            score = np.nan
                        rows.append((*run, lam, step, "val_score", score))
        return pd.DataFrame(rows, columns=[*KEYS, "lam", "step", "quantity", "value"])


def profiles(study: Study) -> pd.DataFrame:
    """Make up profiles of every loss around the truth: valleys of different width, some with a second minimum."""
    rows = []
    for made in study.datasets:
        for place, (loss, variant) in enumerate(study.combinations(made)):
            for pair, kind, line in product(("a>b", "c>d"), KINDS, range(2)):
                for step in range(-4, 5):
                    value = 1 - np.exp(-((step / (2 + 0.3 * place)) ** 2)) + 0.1 * (place % 3 == 2) * (step % 2)
                    if loss in made.diverged and line:
                        value = np.nan
                    rows.append(
                        (made.name, loss, variant, "true field", pair, kind, line, 2.5 * step, value, made.unit)
                    )
            for pair, axis, half in product(("a>b", "c>d"), range(2), range(-6, 7)):
                value = 0.1 * abs(half) + 0.02 * (place - 3) * (half % 2)
                who = (made.name, loss, variant, "true field", pair, "grid", axis)
                rows.append((*who, half / 2, value, made.unit))
    return pd.DataFrame(rows, columns=PROFILES)


def subjects(made: Made, split: str) -> list[str]:
    """Name the subjects of a split."""
    return [f"{split}{i:02d}" for i in range(made.subjects)]


def make_pairs(rng: np.random.Generator, made: Made, split: str) -> list[tuple[str, str]]:
    """Draw pairs of different subjects, every one in both directions."""
    names = subjects(made, split)
    every = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    drawn = [every[i] for i in rng.choice(len(every), min(made.pairs, len(every)), replace=False)]
    return [pair for a, b in drawn for pair in ((a, b), (b, a))]


def _scores(made: Made, gain: float, base: float, rough: float) -> list[tuple[str, str, float, str]]:
    """Make up the scores of one pair: metric, label, value, unit."""
    failed = np.isnan(gain)
    folding = np.nan if failed else max(0.0, rough - 0.6) * 0.5
    scores = [
        ("sdlogj", "all", np.nan if failed else rough, "1"),
        ("folding", "all", folding, "%"),
        ("ndv" if made.dims == 3 else "nda", "all", folding, "%"),
    ]
    for i, label in enumerate(made.labels):
        dice = min(max(0.62 + 0.05 * i + base + 0.25 * gain, 0.0), 0.99)
        scores.append(("dice", label, np.nan if failed else dice, "1"))
        scores.append(("hd95", label, np.nan if failed else 6 * (1 - dice) + i, made.unit))
    if made.field:
        scores.append(("epe", "all", np.nan if failed else max(0.2, 3.4 - 4 * base - 2 * gain), made.unit))
    return scores


def audits(study: Study) -> pd.DataFrame:
    """Make up where searches from several starts ended, of each verdict some."""
    starts = ("unregistered", "path", "again", "identity", "truth")
    rows = []
    for made in study.datasets:
        unit = 5.0 if made.field else 0.8
        for place, run in enumerate(run for run in study.runs(made) if run.loss):
            for n, verdict in product(range(4), ("sound", "search failed", "loss wrong")):
                if n % 3 == place % 3 or verdict == "sound":
                    for k, start in enumerate(starts[: 5 if made.field else 4]):
                        score = unit * (
                            0.6 if start == "unregistered" and not made.field else 1 - 0.1 * k - 0.01 * place
                        )
                        objective = 1.0 if start == "unregistered" else 0.5 + 0.01 * k
                        pair = f"{verdict}{n}"
                        rows.append(
                            (*run, 0.2, pair, pair, start, 10 * k, True, objective, 0.0, objective, score, verdict)
                        )
    columns = [*KEYS, "lam", "moving", "fixed", "start", "evaluations", "converged", "dissimilarity", "energy"]
    return pd.DataFrame(rows, columns=[*columns, "objective", "score", "verdict"]).astype({"seed": "Int64"})


def traces(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up how scores came about, and what an evaluation took."""
    rows, took = [], []
    for made in study.datasets:
        for place, run in enumerate(run for run in study.runs(made) if run.loss):
            took.append({"rule": "audit", **run._asdict(), "evaluation_ms": 1.0 + place})
            for pair, step in product(range(2), range(10, 110 + 10 * (place % 5), 10)):
                score = 2.0 + 3 * np.exp(-step / 30) + 0.1 * place + 0.1 * pair
                rows.append((*run, 0.2, f"a{pair}", "b", step, -score, score))
    columns = [*KEYS, "lam", "moving", "fixed", "evaluations", "objective", "score"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"}), pd.DataFrame(took)


def chosen(study: Study) -> pd.DataFrame:
    """Give the metrics of a study with its choice of λ."""
    metrics = study.metrics()
    return mark(metrics, choose(candidates(metrics, METHODS), METHODS), METHODS)
