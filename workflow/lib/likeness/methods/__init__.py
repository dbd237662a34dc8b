"""Ways from a pair to a field: one module a kind, with a card as :mod:`likeness.methods.kinds` says."""
