"""SMTP submission (RFC 5321, RFC 6409): what is read strictly, and what is said, before anything is passed on."""
