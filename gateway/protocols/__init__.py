"""Bytes ↔ values of each protocol: pure, shared by the proxies and by external authorization.

Nothing here awaits or opens a socket. The same file names in each: codec, ``requests`` (event → access request),
``refusals`` (verdict → bytes).
"""
