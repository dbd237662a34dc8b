"""Ways from a pair of images to a displacement field; :mod:`likeness.methods.kinds` says what each has."""
