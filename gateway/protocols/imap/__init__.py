"""IMAP (RFC 9051, RFC 3501) as far as a gateway speaks it: all until the login, then only where an answer ends."""
