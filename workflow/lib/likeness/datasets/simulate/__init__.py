"""What the built-in datasets simulate with."""
