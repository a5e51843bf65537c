# syntax=docker/dockerfile:1

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/gatepost
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# docker build --build-arg EXTRAS=envoy: for [envoy] listen.
ARG EXTRAS=""
RUN /opt/gatepost/bin/pip install ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11.13-slim-bookworm
LABEL org.opencontainers.image.title="Gatepost" \
      org.opencontainers.image.description="Mail gateway that lets a device sync only while its last app inventory holds no banned app" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 gatepost \
    && useradd --no-log-init --system --uid 10001 --gid gatepost --create-home --home-dir /var/lib/gatepost \
        --shell /usr/sbin/nologin gatepost \
    && chmod 0700 /var/lib/gatepost
COPY --from=build /opt/gatepost /opt/gatepost
COPY config/examples/container/gatepost.toml /etc/gatepost/gatepost.toml
ENV PATH=/opt/gatepost/bin:$PATH PYTHONUNBUFFERED=1 GATEPOST_CONFIG=/etc/gatepost/gatepost.toml
USER 10001:10001
WORKDIR /var/lib/gatepost
VOLUME ["/var/lib/gatepost"]
# Phones, and reports of inventory sources. The admin API listens inside the container only.
EXPOSE 8080 8091
# The admin API answers in the roles all and control, the health listener in the role gateway.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "gateway.observability.probe", "http://127.0.0.1:8090", "http://127.0.0.1:8092"]
# The supervisor is process 1: it passes signals on, drains on SIGTERM and buries orphans. Allow it the time:
# docker stop --time 55
ENTRYPOINT ["gatepost"]
CMD ["run"]
