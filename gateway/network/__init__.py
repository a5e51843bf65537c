"""Sockets, TLS and pooled connections. Knows neither mail nor policy."""
