"""A recipe of per-pair optimisation that small images need no more than."""

from likeness.methods.optimisation import Recipe

RECIPE = Recipe(
    transformation="velocity",
    regulariser="diffusion",
    kernel=None,
    levels=2,
    pyramid=True,
    rate=0.3,
    tolerance=0.02,
    evaluations=60,
    batch=2,
    scale="raw",
    grid=(0.1, 0.01),
    separate=False,
    start=None,
    precision="32-true",
    threads=1,
)
