"""Inline enforcement points: input and output only.

What is asked is decided in ``decision``; octets are understood in ``protocols``.
"""
