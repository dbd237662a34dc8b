"""From the table of scores to what it says: the choice of λ, summaries, comparisons."""
