# syntax=docker/dockerfile:1
# The door: HTTP only, without torch, numpy and pymatgen.
#   docker build -f docker/service.Dockerfile -t matprop-service .

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/matprop
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY models models
COPY workers workers
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/matprop/bin/pip install --disable-pip-version-check -c constraints.txt ".[service]"

FROM python:3.11-slim-bookworm
# A fixed number, so that the volume of state belongs to the same user in every image.
RUN groupadd --gid 10001 matprop \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home matprop \
    && install -d -o matprop -g matprop /state /work
COPY --from=build /opt/matprop /opt/matprop
ENV PATH=/opt/matprop/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    MATPROP_HOST=0.0.0.0 \
    MATPROP_PORT=8000 \
    MATPROP_STATE=/state \
    MATPROP_LOG_JSON=true
USER 10001:10001
# An empty folder: nothing in it can shadow a package.
WORKDIR /work
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["python", "-m", "service"]
