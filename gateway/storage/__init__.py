"""Where data lives: SQL is the truth, Redis the shared cache and fast feed, memory the reference and the double.

``memory`` and ``sql`` implement ``ports.store``, ``redis`` implements ``ports.state_cache``. The codecs beside them
turn the values of the domain into bytes and back.
"""
