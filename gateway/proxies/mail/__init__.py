"""The inline proxies for IMAP and POP3: spoken until the login, judged, then passed through and followed."""
