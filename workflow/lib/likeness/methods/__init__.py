"""Ways from a pair of images to a displacement field."""
