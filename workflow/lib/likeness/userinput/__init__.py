"""What users write and what they are told: errors, YAML and CSV, cards."""
