"""Training of any model: resumable, and reproducible from its seed."""
