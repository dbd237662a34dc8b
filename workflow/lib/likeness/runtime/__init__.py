"""Infrastructure of jobs that does not affect results: atomic files, locks, GPUs, logs, code digests, downloads."""
