"""The process model: a supervisor that owns the sockets, and the children it starts, restarts and ends.

Start at ``supervisor``. A child's end of the connection to it is ``link``; ``board`` is what the control process knows
of the workers. Nothing here knows mail or policy, apart from the number of the version in force.
"""
