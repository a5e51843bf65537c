"""The limit of open files: a parked phone needs two, and the usual soft limit of 1,024 is for programs of select(2)."""

import resource

import structlog

log = structlog.get_logger()


def raise_open_files(wanted: int) -> int:
    """Raise the soft limit to the hard one, for this process and its children; warns below ``wanted``. The limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError) as error:
            log.warning("open_files_not_raised", limit=soft, reason=str(error))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning(
            "open_files_low",
            limit=soft,
            wanted=wanted,
            remedy="raise it (LimitNOFILE= in systemd, ulimits in a container)",
        )
    return soft
