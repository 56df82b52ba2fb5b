# syntax=docker/dockerfile:1
# The workers: parsing, inference, training; without FastAPI.
#   docker build -f docker/worker.Dockerfile -t matprop-worker .
# This torch runs on CPUs and NVIDIA GPUs and is large. Without a GPU, --build-arg TORCH_INDEX=ADDRESS
# with PyTorch's own index for CPUs makes an image of a fraction of the size.

FROM python:3.11-slim-bookworm AS build
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
# For the parts in C; they stay behind in this stage. A Python from Debian needs its headers too.
ARG COMPILER="gcc libc6-dev"
RUN apt-get update && apt-get install -y --no-install-recommends $COMPILER && rm -rf /var/lib/apt/lists/*
RUN python -m venv /tools && python -m venv --without-pip /opt/matprop \
    && groupadd --gid 10001 matprop \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home matprop \
    && mkdir /empty
WORKDIR /source
RUN --mount=type=cache,target=/root/.cache/pip \
    /tools/bin/pip --python /opt/matprop/bin/python install --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$TORCH"
COPY constraints.txt pyproject.toml docker/needs.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python needs.py worker client s3 > needs.txt \
    && /tools/bin/pip --python /opt/matprop/bin/python install --disable-pip-version-check -c constraints.txt -r needs.txt
COPY docker/trim ./
RUN /tools/bin/pip --python /opt/matprop/bin/python check && ./trim /opt/matprop /opt/code
COPY README.md LICENSE ./
COPY models models
COPY workers workers
COPY service service
RUN --mount=type=cache,target=/root/.cache/pip \
    /tools/bin/pip install --disable-pip-version-check --no-deps --target /opt/code . && rm -rf /opt/code/bin

FROM python:3.11-slim-bookworm
COPY --from=build /etc/passwd /etc/group /etc/
COPY --from=build --chown=10001:10001 /empty /state
COPY --from=build --chown=10001:10001 /empty /work
COPY --from=build /opt/matprop /opt/matprop
COPY --from=build /opt/code /opt/code
COPY docker/alive.py /opt/matprop/alive.py
COPY --chmod=755 docker/matprop /opt/matprop/bin/matprop
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
