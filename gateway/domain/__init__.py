"""The core: pure values and functions on the standard library.

Time is an argument (seconds since the epoch, UTC); nothing here awaits, logs or reads files.
Read ``decide`` first: it is the policy, top to bottom.
"""
