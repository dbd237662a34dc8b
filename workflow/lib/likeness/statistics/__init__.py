"""Statistics of the table of scores: choice of λ, summaries, comparisons."""
