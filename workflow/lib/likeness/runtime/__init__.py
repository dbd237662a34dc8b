"""What every job needs and no result depends on: whole files, locks, GPUs, logs, digests of code, downloads."""
