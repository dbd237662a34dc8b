"""Datasets: folder layout, validation, and the prepared form that all later steps read."""
