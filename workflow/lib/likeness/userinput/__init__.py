"""User input and user-facing errors: error classes, strict YAML and text reading, module cards."""
