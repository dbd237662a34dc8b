"""Reading of image files, and reading and writing of displacement fields."""
