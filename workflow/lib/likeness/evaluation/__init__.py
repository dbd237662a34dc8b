"""A pair's truth, all scores, and the landscape of a loss around the truth."""
