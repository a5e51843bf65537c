"""Gatepost: mail access for devices whose last app inventory holds no banned app."""

__version__ = "0.1.0"
