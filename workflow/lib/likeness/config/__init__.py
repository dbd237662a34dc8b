"""The study: its configuration, checked, and what follows from it."""
