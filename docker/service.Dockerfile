# syntax=docker/dockerfile:1
# The door: HTTP only, without torch, numpy and pymatgen.
#   docker build -f docker/service.Dockerfile -t matprop-service .

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /tools && python -m venv --without-pip /opt/matprop \
    && groupadd --gid 10001 matprop \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home matprop \
    && mkdir /empty
WORKDIR /source
# What others wrote first: it changes seldom, and its layer is the largest.
COPY constraints.txt pyproject.toml docker/needs.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python needs.py service client s3 > needs.txt \
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
# No RUN from here on: nothing of how it was built stays.
COPY --from=build /etc/passwd /etc/group /etc/
COPY --from=build --chown=10001:10001 /empty /state
COPY --from=build --chown=10001:10001 /empty /work
COPY --from=build /opt/matprop /opt/matprop
COPY --from=build /opt/code /opt/code
COPY --chmod=755 docker/matprop /opt/matprop/bin/matprop
ENV PATH=/opt/matprop/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    MATPROP_HOST=0.0.0.0 \
    MATPROP_PORT=8000 \
    MATPROP_STATE=/state \
    MATPROP_LOG_JSON=true
# Numbers, so that the volume of state belongs to the same user in every image, and a cluster sees it is not root.
USER 10001:10001
# An empty folder: nothing in it can shadow a package.
WORKDIR /work
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["python", "-m", "service"]
