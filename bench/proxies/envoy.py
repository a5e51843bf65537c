"""Envoy, as a plain proxy and asking Gatepost by ext_authz, over HTTP or gRPC, with one worker; without TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import Missing, child, descendants, listens, wait_until
from tests.live.askers.from_wheels import envoy as program
from tests.live.askers.from_wheels import missing_wheels

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_WHOLE = """
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: mail
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: mail
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: / }}, route: {{ cluster: mail }} }}]
                http_filters:
{asks}                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": {extensions}.filters.http.router.v3.Router }}
  clusters:
{clusters}"""
_CLUSTER = """    - name: {name}
      connect_timeout: 1s
      load_assignment:
        cluster_name: {name}
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"""
_HTTP2 = """      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": {extensions}.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ http2_protocol_options: {{}} }}
"""
_FILTER = """                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": {extensions}.filters.http.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
{service}"""
_BY_HTTP = """                      allowed_headers: {{ patterns: [{{ exact: ms-asprotocolversion }}] }}
                      http_service:
                        server_uri: {{ uri: "http://127.0.0.1:{asked}", cluster: gatepost, timeout: 5s }}
                        path_prefix: /authz/v1/envoy
                        authorization_request: {{ headers_to_add: [{{ key: x-gatepost-key, value: {key} }}] }}
"""
_BY_GRPC = """                      grpc_service:
                        envoy_grpc: {{ cluster_name: gatepost }}
                        timeout: 5s
                        initial_metadata: [{{ key: x-gatepost-key, value: {key} }}]
"""


@contextmanager
def envoy(
    core: int, directory: Path, mail: int, port: int, asked: int = 0, key: str = "", *, grpc: bool = False
) -> Iterator[tuple[int, ...]]:
    """Its process ids. ``asked``: where Gatepost is asked; 0: nobody is. Raises ``Missing``."""
    if reason := missing_wheels(program()):
        raise Missing(reason)
    config = directory / f"envoy-{port}.yaml"
    clusters = _CLUSTER.format(name="mail", port=mail)
    asks = ""
    if asked:
        service = (_BY_GRPC if grpc else _BY_HTTP).format(asked=asked, key=key)
        asks = _FILTER.format(extensions=_EXTENSIONS, service=service)
        clusters += _CLUSTER.format(name="gatepost", port=asked)
        clusters += _HTTP2.format(extensions=_EXTENSIONS) if grpc else ""
    config.write_text(_WHOLE.format(port=port, extensions=_EXTENSIONS, asks=asks, clusters=clusters))
    words = ("-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    with child(core, str(program()), *words) as started:
        wait_until(lambda: listens(port) or started.poll() is not None, "Envoy listens")
        if started.poll() is not None:
            raise SystemExit(f"Envoy does not start: {program()} -c {config}")
        yield descendants(started.pid)
