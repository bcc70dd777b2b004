# Any builder of Dockerfiles: docker, podman, buildah. --build-arg PYTHON_IMAGE=... takes another base, such as a registry's of your own.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV UV_COMPILE_BYTECODE=1 UV_SYSTEM_CERTS=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
# What builds the wheel, in an environment of its own, and what runs the service: nothing that only tests need.
COPY deploy/build.lock deploy/runtime.lock ./
RUN python -m venv builder \
 && builder/bin/pip install --no-cache-dir --disable-pip-version-check --quiet --require-hashes -r build.lock \
 && python -m venv --without-pip /opt/dewarwatch \
 && builder/bin/uv pip sync --python /opt/dewarwatch/bin/python --require-hashes runtime.lock
COPY . .
RUN PATH=$PWD/builder/bin:$PATH uv build --wheel --no-build-isolation --python builder/bin/python --out-dir /wheel \
 && builder/bin/uv pip install --python /opt/dewarwatch/bin/python --no-deps /wheel/*.whl

FROM ${PYTHON_IMAGE}
# The official image has no bytecode of Python's own library, either: with a read-only root it would be made at each start.
RUN python -m compileall -q -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo|site-packages|dist-packages)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/dewarwatch /opt/dewarwatch
ENV PATH=/opt/dewarwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DEWARWATCH_HTTP_HOST=0.0.0.0 \
    DEWARWATCH_HTTP_PORT=8080
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
# Every role answers here, not only the API.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['DEWARWATCH_HTTP_PORT']}/livez\", timeout=4)"]
ENTRYPOINT ["dewarwatch"]
CMD ["serve"]
