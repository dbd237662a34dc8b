"""Datasets: their layout on disk, the check and the prepared form every later step reads, and the built-in ones."""
