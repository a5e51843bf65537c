"""HAProxy's runtime API as far as maps go: versions, additions with payload, edits; one line for each connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

Rows = list[tuple[str, str]]


class FakeHaproxy:
    """Maps by their names, as lists: HAProxy takes the same key twice, and so does this."""

    def __init__(self, path: Path, *maps: str) -> None:
        self.path = path
        self.url = f"unix://{path}"
        self.maps: dict[str, Rows] = {name: [] for name in maps}
        self.versions: dict[tuple[str, int], Rows] = {}
        self.lines: list[str] = []
        self.longest = 0
        self.fail_next = ""
        """The next line that begins so is answered by an error."""
        self.gate: asyncio.Event | None = None
        self.sessions: list[str] = []
        """The lines of ``show sess``."""
        self.gated = ""
        """Lines that begin so wait for the gate."""
        self._server: asyncio.Server | None = None
        self._last = 0

    def restart(self) -> None:
        """A new process: what was told at runtime is gone."""
        self.maps = {name: [] for name in self.maps}
        self.versions.clear()

    def holds(self, name: str) -> dict[str, str]:
        """A map's entries; no key may be there twice."""
        rows = self.maps[name]
        found = dict(rows)
        assert len(found) == len(rows), "a key is in the map twice"
        return found

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = (await reader.readline()).decode().rstrip("\n")
            rows: Rows = []
            if line.endswith("<<"):
                while (row := (await reader.readline()).decode().rstrip("\n")) != "":
                    key, _, value = row.partition(" ")
                    rows.append((key, value))
                    self.longest = max(self.longest, sum(len(a) + len(b) + 2 for a, b in rows))
            self.lines.append(line)
            if self.gate is not None and line.startswith(self.gated):
                await self.gate.wait()
            writer.write(self._answered(line, rows).encode())
            await writer.drain()
        finally:
            writer.close()

    def _answered(self, line: str, rows: Rows) -> str:
        if self.fail_next and line.startswith(self.fail_next):
            self.fail_next = ""
            return "it did not work.\n"
        return "".join(self._done(each.strip(), rows) + "\n" for each in line.split(";"))

    def _done(self, command: str, rows: Rows) -> str:
        if command == "show sess":
            return "".join(f"{line}\n" for line in self.sessions)
        if command.startswith("shutdown session "):
            self.sessions = [each for each in self.sessions if not each.startswith(f"{command.split()[2]}:")]
            return ""
        words = command.removesuffix("<<").split()
        verb, version = words[0], 0
        if words[2].startswith("@"):
            version = int(words.pop(2)[1:])
        name = words[2]
        if name not in self.maps:
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        if name.endswith(".alive") and verb in ("add", "set") and not words[4].isdigit():
            return f"unable to parse '{words[4]}'.\n"
        if verb == "prepare":
            self._last += 1
            self.versions[name, self._last] = []
            return f"New version created: {self._last}\n"
        if verb == "add":
            target = self.versions.get((name, version)) if version else self.maps[name]
            if target is None:
                return "Invalid version.\n"
            target.extend(rows or [(words[3], words[4])])
        elif verb == "commit":
            if (name, version) not in self.versions:
                return "Invalid version.\n"
            self.maps[name] = self.versions.pop((name, version))
        elif verb == "clear":
            self.maps[name] = []
        elif verb == "show":
            return "".join(f"0x{number:x} {key} {value}\n" for number, (key, value) in enumerate(self.maps[name], 16))
        elif verb in ("set", "del"):
            return self._edited(name, words)
        else:
            raise AssertionError(f"no such command: {command}")
        return ""

    def _edited(self, name: str, words: list[str]) -> str:
        there = [number for number, (key, _) in enumerate(self.maps[name]) if key == words[3]]
        if not there:
            return "entry not found.\n"
        for number in reversed(there):
            if words[0] == "del":
                del self.maps[name][number]
            else:
                self.maps[name][number] = (words[3], words[4])
        return ""


@asynccontextmanager
async def fake_haproxy(directory: Path, *maps: str) -> AsyncIterator[FakeHaproxy]:
    """One that listens."""
    made = FakeHaproxy(directory / "haproxy.sock", *maps)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
