"""SMTP submission: a mail program before us, the mail server behind, and a message that passes between them.

aiosmtpd speaks with the client where it can (``session`` says where it cannot), aiosmtplib with the mail server.
"""
