# The gateway as an image, and with --target migration what works on stored stages too. Any base with Python 3.11 or
# later and its venv module will do; nothing is compiled.
ARG BASE_IMAGE=python:3.13-slim

# hadolint ignore=DL3006 - the default has its tag
FROM ${BASE_IMAGE} AS build
# One environment that installs, and one without pip that is installed into, and copied.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/stage-gateway
WORKDIR /source
COPY requirements-build.lock requirements.lock ./
RUN /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock && \
    /build/bin/pip --python /opt/stage-gateway/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements.lock
COPY pyproject.toml README.md ./
COPY gateway gateway
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . && \
    /build/bin/pip --python /opt/stage-gateway/bin/python install --no-cache-dir --no-deps --no-index /wheel/*.whl && \
    mkdir /state
# A label that names another version than the package would be believed.
ARG VERSION=0.1.0
RUN test "$(/opt/stage-gateway/bin/stage-gateway --version)" = "stage-gateway ${VERSION}"

FROM build AS build-migration
COPY requirements-migration.lock ./
RUN /build/bin/pip --python /opt/stage-gateway/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements-migration.lock

# hadolint ignore=DL3006 - as above
FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="stage-gateway" \
      org.opencontainers.image.description="Reverse-proxy validation gateway that keeps investment stages canonical" \
      org.opencontainers.image.version="${VERSION}"
# HOME, since the user has no entry in passwd; no .pyc files, since what can have them has them already.
ENV PATH=/opt/stage-gateway/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/stage-gateway \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STAGE_GATEWAY_CONFIG=/etc/stage-gateway/gateway.json \
    STAGE_GATEWAY_STATE=/var/lib/stage-gateway
COPY --from=build --chown=10001:10001 /state /var/lib/stage-gateway
USER 10001:10001
# All that is ever written to: state and the admin token, or the list of what could not be migrated.
WORKDIR /var/lib/stage-gateway
VOLUME /var/lib/stage-gateway
STOPSIGNAL SIGTERM
ENTRYPOINT ["stage-gateway"]

FROM runtime AS migration
COPY --from=build-migration /opt/stage-gateway /opt/stage-gateway
CMD ["migrate", "status", "--spec", "/etc/stage-gateway/migration.json"]

FROM runtime AS gateway
COPY --from=build /opt/stage-gateway /opt/stage-gateway
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["stage-gateway", "status"]
CMD ["serve"]
