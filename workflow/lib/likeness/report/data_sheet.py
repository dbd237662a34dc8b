"""The data sheet: properties of a dataset that are needed to judge results on it, as numbers and as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics
from likeness.data.layout import RESERVED
from likeness.data.pairs import SPLITS
from likeness.data.store import PARTS, Dataset, Sample
from likeness.imageio.placement import APART, apart, voxel_size

BINS = 64
"""Number of histogram bins over [0, 1] for the share of label entropy that intensity explains."""
BLOCKS = " ▁▂▃▄▅▆▇█"
BARS = 32
"""Number of bars of a histogram in the text."""
LISTED = 10
"""Maximum number of labels for which the text lists individual scores."""
Numbers = dict[str, Any]


def numbers(dataset: Dataset, scores: pd.DataFrame) -> Numbers:
    """Measure a prepared dataset.

    Args:
        dataset: prepared dataset.
        scores: scores of its unregistered pairs, rows of the metrics table.

    Returns:
        Input of :func:`markdown`, as plain types; keys in the order of the text.
    """
    measured = _Measured(dataset, map(dataset.load, dataset.images.index))
    meta = dataset.meta
    told = ("licence", "source", "citation", "note", "modality")
    return {
        "name": dataset.name,
        "description": meta["description"],
        "stress_test": meta["stress_test"],
        "primary": dataset.primary,
        "spatial_dims": dataset.spatial_dims,
        "shape": list(dataset.shape),
        "spacing": list(dataset.spacing),
        "spacing_unit": dataset.spacing_unit,
        "splits": {split: _count(dataset, split) for split in SPLITS},
        "within_subject": meta["within_subject"],
        "subjects_in_several_splits": _shared_subjects(dataset),
        "parts": measured.parts,
        "labels": measured.labels(),
        "kinds": meta["kinds"],
        "label_entropy_explained": _spread(measured.explained) | {"bins": BINS, "inside_mask": "mask" in dataset.has},
        "truth_sdlogj": _spread(_truth(dataset)),
        "unregistered": _unregistered(scores),
        "accuracy": meta["accuracy"],
        "headers": _headers(dataset),
        "intensity": meta["intensity"],
        "intensities": {"before": _before(dataset.intensities), "after": measured.after()},
        "presmoothing": meta["presmoothing"],
        "degrade": meta["degrade"],
        "pairs_rule": meta["pairs"],
        **{key: meta[key] for key in told},
    }


def entropy_explained(image: np.ndarray, label: np.ndarray, bins: int = BINS) -> float:
    """Share of label entropy that intensity explains: mutual information divided by the entropy of the labels.

    A high share favours losses that compare intensities (Jena et al., Magic or Mirage, NeurIPS 2024,
    arXiv:2408.00221).

    Args:
        image: intensities in [0, 1], any shape.
        label: integers of the same shape.
        bins: number of equal bins of intensity.

    Returns:
        From 0, independent, to 1, labels determined by intensity; NaN if there is only one label.
    """
    _, index = np.unique(label, return_inverse=True)
    count = int(index.max()) + 1
    place = np.minimum((image.ravel() * bins).astype(np.int64), bins - 1) * count + index.ravel()
    joint = np.bincount(place, minlength=bins * count).reshape(bins, count) / place.size
    label_entropy = _entropy(joint.sum(axis=0))
    if label_entropy == 0:
        return math.nan
    return (label_entropy + _entropy(joint.sum(axis=1)) - _entropy(joint)) / label_entropy


def _entropy(share: np.ndarray) -> float:
    positive = share[share > 0]
    return float(-(positive * np.log(positive)).sum())


class _Measured:
    """Measurements from a single pass over the images."""

    def __init__(self, dataset: Dataset, samples: Iterable[Sample]) -> None:
        self.dataset = dataset
        self.parts = {part: 0 for part in PARTS if part in dataset.has}
        self.explained: list[float] = []
        self.volumes: dict[int, list[float]] = {value: [] for value in dataset.labels}
        # indexed by label value; negative values index from the end
        self.counts = np.zeros(BARS, np.int64)
        self.kinds = np.concatenate([np.arange(2**15), np.arange(-(2**15), 0)])
        for values in dataset.meta["kinds"].values():
            self.kinds[values] = values[0]
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Sample) -> None:
        self.counts += np.histogram(sample.image, BARS, (0, 1))[0]
        for part in self.parts:
            self.parts[part] += getattr(sample, part) is not None
        if sample.label is None:
            return
        voxel = math.prod(self.dataset.spacing)
        found, counts = np.unique(sample.label, return_counts=True)
        size = dict(zip(found.tolist(), counts.tolist(), strict=True))
        for value, volumes in self.volumes.items():
            volumes.append(size.get(value, 0) * voxel)
        kind = self.kinds[sample.label]
        if sample.mask is not None:
            self.explained.append(entropy_explained(sample.image[sample.mask], kind[sample.mask]))
        elif "mask" not in self.dataset.has:
            self.explained.append(entropy_explained(sample.image, kind))

    def after(self) -> Numbers:
        """Histogram of the prepared intensities of all images: range, and share in every bin."""
        return {"low": 0.0, "high": 1.0, "shares": [float(share) for share in self.counts / self.counts.sum()]}

    def labels(self) -> list[Numbers]:
        """Volume of every label over the images with a label map, and number of images in which it occurs."""
        return [
            {
                "id": value,
                "name": self.dataset.labels[value],
                "evaluated": value in self.dataset.evaluate,
                "occurs_in": sum(v > 0 for v in volumes),
                "volume": float(np.mean(volumes)),
                "volume_sd": float(np.std(volumes)),
            }
            for value, volumes in self.volumes.items()
            if volumes
        ]


def _count(dataset: Dataset, split: str) -> Numbers:
    images = dataset.images[dataset.images.split == split]
    return {
        "images": len(images),
        "subjects": len(set(images.subject) - {""}) or None,
        "pairs": len(dataset.pairs_of(split)),
    }


def _shared_subjects(dataset: Dataset) -> int:
    splits: dict[str, set[str]] = {}
    for id, split in dataset.images.split[dataset.images.split.isin(SPLITS)].items():
        splits.setdefault(dataset.subject(str(id)), set()).add(split)
    return sum(len(found) > 1 for found in splits.values())


def _spread(values: Iterable[float]) -> Numbers:
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return {"n": 0, "mean": None, "low": None, "high": None}
    return {"n": len(known), "mean": float(np.mean(known)), "low": min(known), "high": max(known)}


def _headers(dataset: Dataset) -> Numbers:
    """Compare the places that the headers of the two images of every test pair give to one voxel."""
    found = {"pairs": 0, "apart": 0, "furthest": 0.0}
    for moving, fixed in ((dataset.placement(m), dataset.placement(f)) for m, f in dataset.pairs_of("test")):
        distance = apart(moving, fixed)
        if distance is None or fixed.affine is None:
            continue
        found["pairs"] += 1
        found["apart"] += distance > APART * voxel_size(fixed.affine).min()
        found["furthest"] = max(found["furthest"], distance)
    return {**found, "apart": int(found["apart"])}


def _before(intensities: pd.DataFrame) -> Numbers:
    """Histogram of the original intensities of all images, each with the same weight: range, and share in every bin."""
    values = intensities.drop(columns=["low", "high"]).to_numpy(float).ravel()
    counts, edges = np.histogram(values, BARS)
    limits = {name: [float(intensities[name].min()), float(intensities[name].max())] for name in ("low", "high")}
    shares = [float(share) for share in counts / counts.sum()]
    return {"low": float(edges[0]), "high": float(edges[-1]), "shares": shares, "limits": limits}


def _truth(dataset: Dataset) -> Iterator[float]:
    """Yield std(log max(J, .01)) of the true displacement of each test pair, inside the fixed image's mask."""
    if "field" not in dataset.has:
        return
    from likeness import geometry

    inverses = {}
    for moving, fixed in ((dataset.load(m), dataset.load(f)) for m, f in dataset.pairs_of("test")):
        if moving.field is None or fixed.field is None:
            continue
        if moving.name not in inverses:
            inverses[moving.name] = geometry.invert(geometry.to_tensor(moving.field))
        truth = geometry.compose(inverses[moving.name], geometry.to_tensor(fixed.field))
        determinant = geometry.jacobian_determinant(truth)[0, 0].numpy()
        inside = np.ones(determinant.shape, dtype=bool) if fixed.mask is None else fixed.mask
        yield float(np.log(np.maximum(determinant[inside], 0.01)).std())


def _unregistered(scores: pd.DataFrame) -> list[Numbers]:
    """Mean and standard deviation over test pairs per metric and label; undefined values (NaN) are ignored.

    For metrics with several labels, ``mean`` is averaged over the defined ones of a pair first. Metrics that depend on
    the displacement only are omitted, because they are meaningless without registration.
    """
    telling = [name for name in metrics.names() if metrics.card(name)["needs"]]
    test = scores[(scores.split == "test") & scores.value.notna() & scores.metric.isin(telling)]
    rows = []
    for (metric, unit), group in test.groupby(["metric", "unit"], sort=False):
        labels = {str(label): rows_of.value for label, rows_of in group.groupby("label", sort=False)}
        if len(labels) > 1:
            labels = {"mean": group.groupby(["moving", "fixed"]).value.mean(), **labels}
        for label, values in labels.items():
            finite = bool(np.isfinite(values).all())
            mean, sd = (float(values.mean()), float(values.std(ddof=0))) if finite else ("inf", None)
            rows.append({"metric": metric, "label": label, "unit": unit, "pairs": len(values), "mean": mean, "sd": sd})
    return rows


def markdown(measured: Mapping[str, Any], picture: str) -> str:
    """Write the data sheet.

    Args:
        measured: result of :func:`numbers`.
        picture: file name of the picture of example pairs, in the folder of the sheet.

    Returns:
        Markdown.
    """
    sections = [
        _head(measured, picture),
        _table("Splits", ["split", "images", "subjects", "pairs"], _splits(measured), _leak(measured)),
        _labels(measured),
        _scores(measured),
        _intensities(measured),
        _origin(measured),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(measured: Mapping[str, Any], picture: str) -> str:
    unit = _unit(measured["spacing_unit"])
    size = " × ".join(map(str, measured["shape"]))
    spacing = " × ".join(f"{s:g}" for s in measured["spacing"])
    lines = [f"# {measured['name']}", measured["description"]]
    if measured["stress_test"]:
        lines.append(
            "**Stress test**: all subjects derive from one template; results show where a method breaks, not which "
            "method is better."
        )
    lines.append(f"![Example test pairs]({picture})")
    facts = [
        f"- {measured['spatial_dims']}D, {size} voxels of {spacing} {unit}" + _clause(measured["modality"]),
        f"- Primary score: {metrics.card(measured['primary'])['title']}",
        "- Parts: " + ", ".join(f"{part} ({n} images)" for part, n in measured["parts"].items()),
    ]
    if (headers := measured["headers"])["pairs"]:
        differ = f"{headers['apart']} by up to {headers['furthest']:.3g} mm" if headers["apart"] else "none"
        facts.append(
            f"- Test pairs whose headers place the two images elsewhere: {differ} of {headers['pairs']}; pairs are "
            "registered voxel to voxel"
        )
    explained, truth = measured["label_entropy_explained"], measured["truth_sdlogj"]
    if explained["n"]:
        where = "inside the mask" if explained["inside_mask"] else "over the whole image"
        kinds = f", parcels as {', '.join(measured['kinds'])}" if measured["kinds"] else ""
        facts.append(
            f"- Share of label entropy explained by intensity: {_range(explained)} over {explained['n']} images "
            f"({where}{kinds}, {explained['bins']} bins); a high share favours losses that compare intensities"
        )
    if truth["n"]:
        facts.append(f"- std(log J) of the true displacement: {_range(truth)} over {truth['n']} test pairs")
    return "\n\n".join([*lines, "\n".join(facts)])


def _splits(measured: Mapping[str, Any]) -> list[list[str]]:
    return [
        [split, *("not told" if n is None else str(n) for n in counts.values())]
        for split, counts in measured["splits"].items()
    ]


def _leak(measured: Mapping[str, Any]) -> str:
    if shared := measured["subjects_in_several_splits"]:
        return f"{shared} subject(s) occur in more than one split: the splits are not independent."
    one = "All images are of one specimen: the splits are not independent."
    return one if measured["within_subject"] else ""


def _labels(measured: Mapping[str, Any]) -> str:
    unit = f"{_unit(measured['spacing_unit'])}{'²' if measured['spatial_dims'] == 2 else '³'}"
    rows = [
        [
            str(e["id"]),
            e["name"],
            "yes" if e["evaluated"] else "",
            str(e["occurs_in"]),
            _pm(e["volume"], e["volume_sd"]),
        ]
        for e in measured["labels"]
    ]
    kind = "area" if measured["spatial_dims"] == 2 else "volume"
    return _table("Labels", ["id", "name", "scored", "images", f"{kind} ({unit}), mean ± sd"], rows)


def _scores(measured: Mapping[str, Any]) -> str:
    few = len(measured["labels"]) <= LISTED
    shown = [e for e in measured["unregistered"] if few or e["label"] in RESERVED]
    rows = [
        [metrics.card(e["metric"])["title"], e["label"], _unit(e["unit"]), str(e["pairs"]), _pm(e["mean"], e["sd"])]
        for e in shown
    ]
    header = ["score", "label", "unit", "pairs", "mean ± sd over pairs"]
    after = "" if few else "Single labels: see the JSON file next to this sheet."
    if exact := measured["accuracy"]:
        header.append("between two observers")
        rows = [[*row, _observers(entry, exact)] for row, entry in zip(rows, shown, strict=True)]
    return _table("Test pairs before registration", header, rows, after)


def _observers(entry: Mapping[str, Any], exact: Mapping[str, float]) -> str:
    """Say whether unregistered pairs are farther apart than two observers of the same image."""
    metric = entry["metric"]
    if metric not in exact or entry["label"] not in RESERVED:
        return ""
    worse = math.inf if entry["mean"] == "inf" else entry["mean"] - exact[metric]
    if metrics.card(metric)["better"] == "higher":
        worse = -worse
    told = "pairs are farther apart" if worse > 0 else "pairs are no farther apart: registration cannot be judged by it"
    return f"{_digits(exact[metric])}; {told}"


def _intensities(measured: Mapping[str, Any]) -> str:
    """Format the histograms before and after preparation, a character for every bar."""
    before, after = measured["intensities"]["before"], measured["intensities"]["after"]
    rows = [
        [when, _digits(found["low"]), f"`{_bars(found['shares'])}`", _digits(found["high"])]
        for when, found in (("in the files", before), ("prepared", after))
    ]
    low, high = (" to ".join(dict.fromkeys(map(_digits, before["limits"][end]))) for end in ("low", "high"))
    return _table("Intensities", ["", "lowest", "histogram", "highest"], rows, f"{low} becomes 0, {high} becomes 1.")


def _bars(shares: Sequence[float]) -> str:
    """Draw a histogram as text, the highest bar in full; a bar that is not empty is not lower than the lowest."""
    top = max(shares)
    return "".join(BLOCKS[math.ceil(share / top * (len(BLOCKS) - 1))] for share in shares)


def _origin(measured: Mapping[str, Any]) -> str:
    lines = [f"- {key.capitalize()}: {measured[key]}" for key in ("licence", "source", "citation") if measured[key]]
    rule = measured["intensity"]
    images = f"the images with equal {rule['shared_by']}" if "shared_by" in rule else "each image"
    ends = f"quantiles {rule['low']:g} and {rule['high']:g} of {images}" if rule["rule"] == "quantile" else ""
    lines.append(f"- Intensities: {ends or '{low:g} and {high:g}'.format(**rule)} are mapped to 0 and 1")
    if measured["presmoothing"]:
        unit = _unit(measured["spacing_unit"])
        lines.append(f"- Smoothed by a Gaussian with a standard deviation of {measured['presmoothing']:g} {unit}")
    if measured["degrade"]:
        said = ", ".join(f"{key} {value}" for key, value in measured["degrade"].items())
        lines.append(f"- Test images are degraded: {said}")
    if measured["note"]:
        lines.append(f"- Note: {measured['note']}")
    return "## Origin\n\n" + "\n".join(lines)


def _table(title: str, header: list[str], rows: list[list[str]], after: str = "") -> str:
    """Format a section with an aligned table; empty if there are no rows."""
    if not rows:
        return ""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [[*header], ["-" * w for w in widths], *rows]
    text = "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines)
    return f"## {title}\n\n{text}" + (f"\n\n{after}" if after else "")


def _pm(mean: float | str, sd: float | None) -> str:
    if isinstance(mean, str) or sd is None:
        return "∞ in some pairs"
    return f"{_digits(mean)} ± {_digits(sd)}"


def _digits(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"


def _range(spread: Mapping[str, float]) -> str:
    return f"{spread['mean']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit.replace("um", "µm")


def _clause(text: str) -> str:
    return f"; {text}" if text else ""
