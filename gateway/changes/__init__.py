"""Administrators' use cases: every edit of the policy ends here, whether it comes by API, console or command line."""
