"""The command line: ``run``, ``check`` and ``demo`` work here, everything else is a client of the admin API."""
