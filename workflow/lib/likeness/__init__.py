"""Likeness: a benchmark of similarity measures for deformable image registration.

The library behind the workflow, independent of Snakemake. Its packages depend on each other in one direction only, as
specified and checked by ``tests/project/test_rooms.py``.
"""

__version__ = "0.1.0"
