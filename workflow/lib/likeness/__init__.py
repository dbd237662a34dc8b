"""Likeness: which measure of likeness between two images should guide deformable registration?

The library behind the workflow. It knows nothing of Snakemake. Its rooms build on one another in one direction, which
``tests/project/test_rooms.py`` states and holds.
"""

__version__ = "0.1.0"
