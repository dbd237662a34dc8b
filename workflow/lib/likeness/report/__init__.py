"""Reports on datasets."""
