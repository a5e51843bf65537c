"""Logging, metrics and health: what the operator sees."""
