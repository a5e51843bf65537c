"""The audit log as values: what an entry says, how entries hang together, and what a damaged log shows.

``entry`` is what others need: they write an ``AuditEntry`` in the unit of work that it tells of (``log_audit``).
"""

from gateway.domain.audit.entry import AuditEntry, AuditKind, Subject

__all__ = ["AuditEntry", "AuditKind", "Subject"]
