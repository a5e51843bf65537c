"""POP3 (RFC 1939, RFC 2449) as far as a gateway speaks it: all until the login, then only where an answer ends."""
