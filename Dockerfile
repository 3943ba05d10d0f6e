# The identity server and the example service, in one image. It holds no key, no data and no setting of any installation:
# `.dockerignore` lets in nothing but the sources and uv.lock.

FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/identity \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /source
# The dependencies are a layer of their own: a change of our code does not install them again.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra server --extra fastapi --no-install-project
COPY README.md LICENSE ./
COPY identity identity
COPY resource_example resource_example
RUN uv sync --locked --no-dev --extra server --extra fastapi --no-editable

FROM python:3.13-slim
# A fixed number, so that a mounted folder can be given to it. The user has a name, because the audit trail writes it down.
RUN groupadd --gid 10001 identity \
    && useradd --uid 10001 --gid identity --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin identity \
    && install --directory --owner identity --group identity --mode 0700 /keys
COPY --from=build /opt/identity /opt/identity
ENV PATH=/opt/identity/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    IDENTITY_KEYS_DIR=/keys
USER 10001:10001
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["identity"]
CMD ["serve", "--host", "0.0.0.0"]
