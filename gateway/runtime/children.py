"""Who the children are at this moment: the present ones, those on trial, those on their way out; who hears of whom."""

from collections.abc import Iterable, Sequence

from gateway.runtime.child import Child
from gateway.runtime.kept import Kept
from gateway.runtime.link import Message


class Children:
    """Those of one supervisor. ``generation`` counts its upgrades."""

    def __init__(self, kept: Iterable[Kept]) -> None:
        self.generation = 0
        self.kept = list(kept)
        """The present ones."""
        self._leaving: list[Kept] = []
        self._fresh: list[Kept] = []

    def everyone(self) -> list[Kept]:
        """All, whichever version they are of."""
        return [*self.kept, *self._fresh, *self._leaving]

    def workers(self) -> list[Kept]:
        """The present ones that serve."""
        return [each for each in self.kept if not each.spec.told_of_workers]

    def not_ready(self) -> list[str]:
        """The names of the present ones that have yet to say that they are ready."""
        return [each.spec.name for each in self.kept if each.child is None or not each.child.ready]

    # --- coming and going

    def take_on(self, kept: Kept) -> None:
        """One more, beside the present ones if it is none of them."""
        if kept not in self.kept:
            self._fresh.append(kept)

    def install(self, fresh: Sequence[Kept]) -> None:
        """These are the present ones from now on; those that were are on their way out."""
        self._leaving += [kept for kept in self.kept if kept not in fresh]
        self._fresh = [kept for kept in self._fresh if kept not in fresh]
        self.kept = list(fresh)
        self.generation = max(kept.generation for kept in fresh)

    def gone(self, group: Sequence[Kept]) -> None:
        """These have ended for good."""
        self._fresh = [kept for kept in self._fresh if kept not in group]
        self._leaving = [kept for kept in self._leaving if kept not in group]

    # --- news

    def send(self, message: Message) -> None:
        """Tell everyone."""
        for kept in self.everyone():
            kept.send(message)

    def tell_of(self, worker: Kept, *, gone: bool = False) -> None:
        """Tell those who hear of workers how one is; ``gone``: it has ended for good."""
        if worker.spec.told_of_workers or (worker.trial and not (worker.ready.is_set() or gone)):
            return
        for kept in self.everyone():
            if kept.spec.told_of_workers:
                kept.send(worker.news_for(kept, gone=gone))

    def tell_all_to(self, watcher: Kept, child: Child) -> None:
        """Tell one who hears of workers, and has just begun as ``child``, how all of them are."""
        for other in self.everyone():
            if not other.spec.told_of_workers and (other.ready.is_set() or not other.trial):
                child.send(other.news_for(watcher))
