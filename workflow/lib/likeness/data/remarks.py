"""What a person should know of a valid dataset before the first job: headers that contradict each other, padding.

No job imports this module, so that a reworded remark runs none again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from likeness.data import layout
from likeness.data.layout import RawDataset
from likeness.data.pairs import SPLITS
from likeness.data.store import Sample
from likeness.imageio.formats import Contradiction
from likeness.imageio.placement import APART, Placement, apart, voxel_size
from likeness.userinput.errors import FAULTS

SHARE = 0.2
"""Least distance between padding and every other value, as a share of the range of the others."""
VALUES = 32
"""Least number of different values beside padding, so that a drawing of a few grey values has none."""


class Remarks:
    """Collects remarks on a dataset while its images are read.

    Args:
        raw: the dataset's tables.
    """

    def __init__(self, raw: RawDataset) -> None:
        self.raw = raw
        self._files: dict[str, str] = {}
        self._padded: dict[str, str] = {}
        self._places: dict[str, Placement] = {}

    def see(self, sample: Sample) -> None:
        """Note what is remarkable of one image and its parts."""
        for part, found in sample.contradictions.items():
            self._files[str(self.raw.file(sample.name, part))] = _contradiction(found)
        if sample.placement is not None:
            self._places[sample.name] = sample.placement
        if said := _padding(self.raw.meta["intensity"], sample.image):
            self._padded[str(self.raw.file(sample.name, "image"))] = said

    def lines(self) -> list[str]:
        """Return the remarks on all images that were seen, a sentence each; long lists are cut."""
        files = [f"{path}: {said}" for path, said in self._files.items()]
        return [*_cut(files), *self._padding_lines(), *_cut(self._pair_lines())]

    def _padding_lines(self) -> list[str]:
        others = len(self._padded) - 1
        more = f" (so have {others} other images of the dataset)" if others > 0 else ""
        return [f"{path}: {said}{more}" for path, said in list(self._padded.items())[:1]]

    def _pair_lines(self) -> Iterator[str]:
        """Describe pairs of which the headers place the images elsewhere; both directions are one."""
        seen = set()
        # what is scored first: a long list is cut, and training pairs may be many
        for split in [split for split in reversed(SPLITS) if (self.raw.images.split == split).any()]:
            for moving, fixed in layout.candidates(self.raw, split):
                pair, places = frozenset((moving, fixed)), (self._places.get(moving), self._places.get(fixed))
                if pair not in seen and places[0] and places[1] and (said := _apart(places[0], places[1])):
                    yield f"{self.raw.folder / 'images.csv'}: pair '{moving}' to '{fixed}': {said}"
                seen.add(pair)


def _cut(lines: Iterable[str]) -> list[str]:
    first = list(itertools.islice(lines, FAULTS + 1))
    return first if len(first) <= FAULTS else [*first[:FAULTS], "… and more like this"]


def _contradiction(found: Contradiction) -> str:
    said = f"its sform (code {found.sform}) and qform (code {found.qform}) contradict each other: "
    if math.isinf(found.apart):
        said += "the qform is not valid"
    else:
        said += f"axes {found.axes} and {found.others}, places of a voxel up to {found.apart:.3g} apart"
    return f"{said}; the sform is used, so correct or remove the one that is wrong"


def _padding(rule: Mapping[str, Any], image: np.ndarray) -> str:
    """Name a value far from all others that a quantile falls on, so that it squeezes the others; empty without one.

    0 at the lower end is background of most images, and no padding.
    """
    if rule["rule"] != "quantile":
        return ""
    low, high = (float(q) for q in np.quantile(image, (rule["low"], rule["high"])))
    lowest, highest = float(image.min()), float(image.max())
    for value, at_end in ((lowest, low == lowest and lowest != 0), (highest, high == highest)):
        if not at_end:
            continue
        others = image[image != value]
        bottom, top = float(others.min()), float(np.quantile(others, rule["high"]))
        gap = min(abs(value - bottom), abs(value - float(others.max())))
        if gap <= SHARE * (top - bottom) or len(np.unique(others[:100_000])) < VALUES:
            continue
        share = 100 * float((image == value).mean())
        squeezed = sorted((bound - low) / (high - low) for bound in (bottom, top))
        said = f"{value:g} fills {share:.2g} % of it, {gap:.4g} away from every other value, as padding does; by key "
        said += f"'intensity' of dataset.yaml the others are squeezed into {squeezed[0]:.2f} to {squeezed[1]:.2f}, so "
        return f"{said}set 'intensity: {{rule: range, low: {bottom:.4g}, high: {top:.4g}}}'"
    return ""


def _apart(moving: Placement, fixed: Placement) -> str:
    """Say how far apart the headers of two images place one voxel; empty if not, or if a picture has no place."""
    distance = apart(moving, fixed)
    if not distance or moving.affine is None or fixed.affine is None:
        return ""
    sizes = [voxel_size(place.affine) for place in (moving, fixed)]  # type: ignore[arg-type]
    if distance <= APART * min(map(np.min, sizes)):
        return ""
    ways = []
    centre = (np.array(fixed.shape) - 1) / 2
    shift = (moving.affine - fixed.affine)[:-1] @ [*centre, 1]
    if np.linalg.norm(shift) > APART * min(map(np.min, sizes)):
        ways.append(f"shifted by {', '.join(f'{s:.3g}' for s in shift)} mm")
    directions = [place.affine[:-1, :-1] / size for place, size in zip((moving, fixed), sizes, strict=True)]  # type: ignore[index]
    turned = float(np.degrees(np.arccos(np.clip((directions[0] * directions[1]).sum(0), -1, 1))).max())
    if turned > 0.1:
        ways.append(f"rotated by {turned:.3g}°")
    if not np.allclose(sizes[0], sizes[1], rtol=0.001):
        ways.append("of other spacing")
    said = f"the headers place one voxel up to {distance:.3g} mm apart ({', '.join(ways) or 'a little'}); "
    return f"{said}they are registered voxel to voxel, so resample both onto one grid if their places are right"
