"""Registration methods; each kind of method is a module with a card, see :mod:`likeness.methods.kinds`."""
