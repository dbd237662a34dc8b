"""The built-in datasets, and how they are written."""
