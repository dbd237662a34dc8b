# The project with its environment; docs/containers.md says how to run it.
FROM python:3.11-slim

# git because jobs note their commit, rsync because pods fetch their inputs with it; the folder is safe because whoever
# runs a container is seldom who built it
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make rsync \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /likeness \
    && useradd --uid 1000 likeness \
    && install --directory --owner 1000 /likeness
USER 1000
WORKDIR /likeness
# a user that `docker run --user` gives has neither a home nor a name
ENV HOME=/tmp USER=likeness

# a layer of its own, which other changes than of these files leave alone
COPY --chown=1000 Makefile requirements.lock requirements.itk.lock ./
ARG TORCH_INDEX
RUN PIP_NO_CACHE_DIR=1 make setup TORCH_INDEX="$TORCH_INDEX"

COPY --chown=1000 . .
# the same lock with a later time is no reason to set up again
RUN touch .venv/.ready
ENV PATH=/likeness/.venv/bin:$PATH
CMD ["make", "figures"]
