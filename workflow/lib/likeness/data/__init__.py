"""Datasets: their layout on disk, the check, and the prepared form that every later step reads."""
