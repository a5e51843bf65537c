"""What keeps the audit log honest: the key, checkpoints and their way outside, effects, retention, verification.

Entries are written by those who do what they tell of (``Writing.log_audit``); nothing here does that for them.
"""
