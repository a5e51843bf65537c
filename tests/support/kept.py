"""What is still there of something that is over: of what is in a circle of references, all, without the collector.

For tests with the fixture ``no_collector``.
"""

import gc


def kept(*kinds: type) -> list[str]:
    """The names of the classes, one for each object of these kinds."""
    return [type(each).__name__ for each in gc.get_objects() if issubclass(type(each), kinds)]
