"""The only place that knows who is who: builds every process from the settings.

``whole.run`` starts a gateway and returns when it has ended; ``checks.check`` tries the settings and what they point
at. ``worker`` and ``control`` are the two kinds of child that the supervisor starts, ``child`` is where they begin.
"""
