# syntax=docker/dockerfile:1
# The workers: parsing, inference, training; without FastAPI.
#   docker build -f docker/worker.Dockerfile -t matprop-worker .
# This torch runs on CPUs and NVIDIA GPUs and is large. Without a GPU, --build-arg TORCH_INDEX=ADDRESS
# with PyTorch's own index for CPUs makes an image of a fraction of the size.

FROM python:3.11-slim-bookworm AS build
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
# For the parts in C; stays behind in this stage.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/matprop
WORKDIR /source
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/matprop/bin/pip install --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$TORCH"
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY models models
COPY workers workers
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/matprop/bin/pip install --disable-pip-version-check -c constraints.txt ".[worker]"

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 matprop \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home matprop \
    && install -d -o matprop -g matprop /state /work
COPY --from=build /opt/matprop /opt/matprop
COPY docker/alive.py /opt/matprop/alive.py
ENV PATH=/opt/matprop/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    MATPROP_STATE=/state \
    MATPROP_LOG_JSON=true
USER 10001:10001
WORKDIR /work
VOLUME /state
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/matprop/alive.py"]
ENTRYPOINT ["python", "-m", "celery", "-A", "workers.app", "worker", "--loglevel", "INFO"]
CMD ["-Q", "parse", "-c", "2"]
