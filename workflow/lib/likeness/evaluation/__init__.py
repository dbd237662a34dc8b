"""Evaluation: scores of registered pairs, and the landscape of a loss around the truth."""
