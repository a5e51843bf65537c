"""Whether a file that a setting names is there for this user, in words.

A directory that this user may not enter is an answer as well, and no exception: ``/etc/ssl/private`` is one for most.
"""

import os
import stat


def fault_of(path: str) -> str:
    """What is wrong with the file, to begin a sentence with; empty where it is there."""
    try:
        there = stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except (OSError, ValueError) as error:
        return f"{path} cannot be reached ({getattr(error, 'strerror', None) or error})"
    return "" if there else f"there is no file {path}"
