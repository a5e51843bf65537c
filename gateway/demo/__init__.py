"""``gatepost demo``: a whole gateway between a small mailbox server and a simulated phone, and the story of a ban.

The gateway is the real one, a child process as an operator starts it; the mailbox server and the phone are the demo's.
``stage`` sets them up and takes them down, ``story`` tells what happens as ``Step`` values, ``afterwards`` lets it go
on. Every figure is measured, and what does not come out as told is a ``DemoFailed``.
"""
