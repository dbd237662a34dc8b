"""The configuration of a study: models, validation and what is derived from them."""
