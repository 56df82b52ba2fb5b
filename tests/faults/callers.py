"""Callers who do not wait for each other: so many requests a second, whether or not they are answered in time."""

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

MODEL = "formation-energy"
PATIENCE_S = 60.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """One of a kind."""

    kind: str
    method: str
    path: str
    order: Any = None

    def encoded(self) -> bytes:
        body = b"" if self.order is None else json.dumps(self.order).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        return head.encode() + b"\r\n" + body


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status 0: no answer."""

    kind: str
    status: int
    seconds: float
    retry_after: bool = False
    fault: str = ""
    code: str = ""  # why it was refused


@dataclass
class Callers:
    """Their connections, and what became of their requests."""

    port: int
    outcomes: list[Outcome] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    _free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    def call(self, make: Callable[["Callers"], Request], rate: float, seconds: float) -> None:
        """Requests at their times; a late answer counts from the time when its request was due."""
        asyncio.run(self._call(make, rate, seconds))

    async def _call(
        self, make: Callable[["Callers"], Request], rate: float, seconds: float
    ) -> None:
        began = time.perf_counter()
        asked: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            task = asyncio.create_task(self._ask(make(self), due))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)
        for _, writer in self._free:
            writer.close()
        self._free.clear()

    async def _ask(self, request: Request, due: float) -> None:
        status, again, fault, code = 0, False, "", ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, head, body = await self._exchange(request.encoded())
            again = b"\r\nretry-after:" in head
            self._remember(body)
            code = reason(json.loads(body)) if status >= 429 else ""
        except TimeoutError:
            fault = "no answer"
        except (OSError, asyncio.IncompleteReadError) as error:
            fault = type(error).__name__
        spent = time.perf_counter() - due
        self.outcomes.append(Outcome(request.kind, status, spent, again, fault, code))

    async def _exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        reader, writer = await self._connection()
        try:
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(size)
        except BaseException:
            writer.close()
            raise
        if b"\r\nconnection: close" in head:
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(head[9:12]), head, body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def _remember(self, body: bytes) -> None:
        if b'"job"' in body[:2_000]:
            found = json.loads(body)
            if isinstance(found, dict) and "job" in found:
                self.jobs.append(found["job"])

    def counted(self) -> dict[str, int]:
        """How many answers of each status and reason to refuse; faults by their names."""
        told = (f"{one.status or one.fault} {one.code}".strip() for one in self.outcomes)
        counts = Counter(told)
        return dict(sorted(counts.items()))

    def quantile(self, share: float, kinds: Sequence[str] = ()) -> float:
        """Seconds within which this share was answered."""
        spent = sorted(one.seconds for one in self.outcomes if not kinds or one.kind in kinds)
        return spent[min(len(spent) - 1, math.ceil(share * len(spent)) - 1)]


def reason(body: dict[str, Any]) -> str:
    """Why it was refused: a problem's code, or what readiness misses."""
    return str(body.get("code") or "; ".join(body["missing"]))


def mixed(chance: random.Random) -> Callable[[Callers], Request]:
    """What many people ask for in turn; most structures are new ones."""

    def make(callers: Callers) -> Request:
        drawn = chance.random()
        if drawn < 0.60:
            return prediction("one new", salt(chance.uniform(4, 8)))
        if drawn < 0.70:
            return prediction("one known", salt(5.64))
        if drawn < 0.75:
            return prediction("five new", *(salt(chance.uniform(4, 8)) for _ in range(5)))
        if drawn < 0.77:
            return prediction("unreadable", "no structure at all")
        if drawn < 0.87 and callers.jobs:
            return Request("job", "GET", f"/v1/jobs/{chance.choice(callers.jobs[-200:])}")
        if drawn < 0.97:
            return Request("models", "GET", "/v1/models")
        return Request("ready", "GET", "/health/ready")

    return make


def prediction(kind: str, *texts: str) -> Request:
    items = [{"name": str(number), "text": text} for number, text in enumerate(texts)]
    return Request(kind, "POST", "/v1/predictions", {"structures": items, "models": [MODEL]})


def salt(edge: float) -> str:
    """Caesium chloride of this size."""
    rows = [f"{edge} 0 0", f"0 {edge} 0", f"0 0 {edge}"]
    sites = ["Cs Cl", "1 1", "Direct", "0 0 0", "0.5 0.5 0.5"]
    return "\n".join(["salt", "1.0", *rows, *sites, ""])
