"""What the inside needs from outside, as small Protocols. Implementations live in ``storage`` and ``runtime``."""
