"""The names of askers as ``gatepost check --asker`` takes them; on their own, so that a command line starts quickly."""

from enum import StrEnum


class AskerName(StrEnum):
    """Whose question it is."""

    NGINX = "nginx"
    NGINX_MAIL = "nginx-mail"
    CADDY = "caddy"
    TRAEFIK = "traefik"
    ENVOY = "envoy"
    HAPROXY = "haproxy"
    DOVECOT = "dovecot"
    POSTFIX = "postfix"
