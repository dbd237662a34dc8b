"""Cost forecasts of a study, and merging of results computed in parts."""
