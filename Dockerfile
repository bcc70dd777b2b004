FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock deploy/runtime.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
 && python -m venv --without-pip /opt/dewarwatch \
 && uv pip sync --no-cache --python /opt/dewarwatch/bin/python --require-hashes runtime.lock
COPY . .
RUN uv build --wheel --no-build-isolation --out-dir /wheel \
 && uv pip install --no-cache --python /opt/dewarwatch/bin/python --no-deps /wheel/*.whl

FROM python:3.13-slim-bookworm
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
