"""Simulation of the built-in datasets."""
