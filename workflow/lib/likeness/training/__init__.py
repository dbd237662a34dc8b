"""Training a model, whatever it is: resumable, and a function of its seed."""
