"""Published results to set beside ours, with what was measured and how, in words.

Datasets have the names under which a study has to have them to be compared. Numbers are means over test pairs.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One published number."""

    dataset: str
    method: str
    """Kind of the method, or the name that a study gives to fields made elsewhere."""
    loss: str | None
    """Loss, or variant of a method without one."""
    metric: str
    value: float
    definition: str
    source: str


DEEPSIM = "Czolbe et al., Medical Image Analysis 2023, doi:10.1016/j.media.2023.102830"
DEEPSIM_TABLE = f"{DEEPSIM}; SteffenCzolbe/DeepSimRegistration, out/plots/metrics_all_baselines.csv"
DEEPSIM_PLOT = f"{DEEPSIM}; read off a plot, ±0.005"
DEEPSIM_DICE = "mean over all labels with the background; a label that is absent scores 0"
LUMIR = "LUMIR challenge, validation: https://github.com/JHU-MedImage-Reg/LUMIR_L2R"
LUMIR_DEFINITIONS = {
    "dice": "mean over labels without the background",
    "tre": "mean over landmarks, with the field interpolated by cubic splines",
    "ndv": "share of the image in percent",
    "hd95": "mean over labels, in voxels",
}

_DEEPSIM_LOSSES = ("mse", "ncc", "ncc_sup", "nmi", "mind", "deepsim_ae", "deepsim_seg")
_DEEPSIM_DICE = {
    "brain-mri": (0.6662, 0.6574, 0.6678, 0.6649, 0.6566, 0.6708, 0.6754),
    "platelet-em": (0.8935, 0.8754, 0.8879, 0.8892, 0.8796, 0.8950, 0.8947),
    "phc-u373": (0.9653, 0.9650, 0.9686, 0.9655, 0.9652, 0.9674, 0.9679),
    "hippocampus-mr": (0.801, 0.822, 0.830, 0.818, 0.823, 0.812, 0.818),
}
_SYN_VARIANTS = ("mi", "deepsim_ae", "deepsim_seg")
_SYN_DICE = {"platelet-em": (0.894, 0.893, 0.904), "phc-u373": (0.971, 0.970, 0.974), "brain-mri": (0.642,)}
_LUMIR_SCORES = {
    "vfa": (0.7726, 2.495, 0.079, 3.21),
    "transmorph": (0.7594, 2.423, 0.351, 3.51),
    "unigradicon": (0.7512, 2.451, 0.0001, 3.51),
    "synthmorph": (0.7243, 2.610, 0.0, 3.57),
    "voxelmorph": (0.7186, 3.155, 1.184, 3.98),
    "syn": (0.6988, 2.650, 0.0, 3.70),
    "unregistered": (0.5657, 4.354),
}
"""In the order of :data:`LUMIR_DEFINITIONS`; uniGradICON with instance optimisation. Losses are not told."""

PUBLISHED = (
    *(
        Published(dataset, "voxelmorph", loss, "dice", dice, DEEPSIM_DICE, source)
        for dataset, values in _DEEPSIM_DICE.items()
        for source in [DEEPSIM_PLOT if dataset == "hippocampus-mr" else DEEPSIM_TABLE]
        for loss, dice in zip(_DEEPSIM_LOSSES, values, strict=True)
    ),
    *(
        Published(dataset, "syn", variant, "dice", dice, DEEPSIM_DICE, DEEPSIM_TABLE)
        for dataset, values in _SYN_DICE.items()
        for variant, dice in zip(_SYN_VARIANTS, values, strict=False)
    ),
    *(
        Published("lumir", method, None, metric, value, definition, LUMIR)
        for method, values in _LUMIR_SCORES.items()
        for (metric, definition), value in zip(LUMIR_DEFINITIONS.items(), values, strict=False)
    ),
)
"""Of SyN on brain-mri with features there are 26 pairs only, which cannot be compared with the 250 without."""
