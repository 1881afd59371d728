# Made by portside; do not edit: the next rendering would overwrite it.
# Build it in the project's folder: docker build -t registry.example.com/notebook:1.4.2 .

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
ENV UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /app
RUN pip install uv==0.13.9 \
    && python -m venv /opt/venv
COPY . ./
RUN UV_PROJECT_ENVIRONMENT=/opt/venv uv sync --frozen --no-dev --no-editable && uv pip install --python /opt/venv/bin/python portside==0.1.0
# Nothing can be compiled later, since nothing can be written, and templates in .py need not compile.
# Whoever runs it must be able to read it.
RUN python -m compileall -q /app; chmod -R a+rX /app

FROM python:3.12-slim
# Security updates of the day it is built on; hence no versions here.
# hadolint ignore=DL3008
RUN apt-get update && apt-get upgrade -y \
    && apt-get install -y --no-install-recommends tini libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1001 portside \
    && useradd --uid 1001 --gid 1001 --no-create-home --home-dir /app/tmp \
    --shell /usr/sbin/nologin portside
COPY --from=build /opt /opt
COPY --from=build /app /app
RUN mkdir -p /app/data /app/logs /app/tmp && chown 1001:1001 /app/data /app/logs /app/tmp && chmod 0750 /app/data /app/logs /app/tmp
WORKDIR /app
ENV PATH="/opt/venv/bin:/usr/local/bin:/usr/bin:/bin"
ENV HOME="/app/tmp"
ENV TMPDIR="/app/tmp"
ENV PYTHONUNBUFFERED="1"
ENV PYTHONDONTWRITEBYTECODE="1"
ENV MCP_ENV="production"
ENV MCP_HOST="0.0.0.0"
ENV MCP_PORT="3000"
ENV PORTSIDE_DATA_DIR="/app/data"
ENV PORTSIDE_LOG_FORMAT="json"
ENV PORTSIDE_TARGET="notebook.server:mcp"
USER 1001:1001
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD ["/opt/venv/bin/python", "-c", "import http.client as h, os, pathlib, sys; seen = pathlib.Path('/tmp/portside-was-ready'); c = h.HTTPConnection('127.0.0.1', int(os.environ.get('MCP_PORT', '3000')), timeout=2.5); c.request('GET', '/health' if seen.exists() else '/ready'); sys.exit(1) if c.getresponse().status != 200 else seen.touch()"]
# tini passes signals on and reaps what children of the server leave behind.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["portside", "serve"]
