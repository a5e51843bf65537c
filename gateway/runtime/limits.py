"""The limit of open files: a parked phone needs two, and the usual soft limit of 1,024 is for programs of select(2)."""

import resource

import structlog

log = structlog.get_logger()


def raise_open_files() -> int:
    """Raise the soft limit to the hard one, for this process and its children. The limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError) as error:
            log.warning("open_files_not_raised", limit=soft, reason=str(error))
    return soft


def warn_of_few_open_files(limit: int, wanted: int) -> None:
    """Write down that a limit is below what is wanted, if it is."""
    if limit != resource.RLIM_INFINITY and limit < wanted:
        log.warning(
            "open_files_low",
            limit=limit,
            wanted=wanted,
            remedy="raise it (LimitNOFILE= in systemd, ulimits in a container)",
        )
