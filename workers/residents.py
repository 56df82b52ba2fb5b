"""The models held in this process: loaded at first use, the least recently used one out."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.catalogue import Catalogue
from models.errors import MatpropError
from models.graphs.graph import Graph
from models.slabs.slab import BONDS, Slab
from workers import batching
from workers.exchange import Work
from workers.lanes import Taken, WorkerSide
from workers.metrics import Tally
from workers.scripts import BrokerAway
from workers.stopping import Stopping

BLOCK_S = 1.0
PAUSE_S = 0.5
# Far beyond any batch: whoever computes for so long will not come back.
STUCK_S = 120.0

# Two atoms that are each other's only neighbours: enough for torch to set itself up.
PAIR = Graph(
    np.array([1, 1], np.uint8),
    np.array([1, 1], np.int32),
    np.array([1, 0], np.int32),
    np.array([1, 1], np.float32),
)
NEIGHBOUR = np.ones(BONDS, np.int32)
SLAB = Slab(PAIR, np.ones(2, np.float32), 0, NEIGHBOUR, NEIGHBOUR.astype(np.float32))
TRIALS = {"graph": PAIR.pack(), "slab": SLAB.pack()}  # images need none

log = logging.getLogger("matprop.infer")


class Residents:
    """Models by `name@version`, ready to answer."""

    def __init__(
        self,
        catalogue: Catalogue,
        most: int,
        load: Callable[[Path], batching.Network],
        tally: Tally,
    ) -> None:
        self.catalogue = catalogue
        self.most = most
        self.load = load
        self.tally = tally
        self.names: tuple[str, ...] = ()  # of those held
        self._held: OrderedDict[str, batching.Network] = OrderedDict()

    def get(self, model: str) -> batching.Network:
        """The model. Raises: UnknownModel, DamagedModel."""
        if model not in self._held:
            _, folder = self.catalogue.get(model)
            while len(self._held) >= self.most:
                gone, _ = self._held.popitem(last=False)
                self.tally.add("models_evicted")
                log.info("%s makes room", gone)
            began = time.monotonic()
            self._held[model] = self.load(folder)
            self.tally.add("models_loaded")
            self.tally.spent("model_load_seconds", time.monotonic() - began)
            self.names = tuple(self._held)
            log.info("%s loaded in %.2f s", model, time.monotonic() - began)
        self._held.move_to_end(model)
        return self._held[model]

    def warm(self) -> None:
        """Load what is most likely asked for first: the newest version of each model."""
        seen: set[str] = set()
        for card in self.catalogue.list():
            if card.name in seen or len(self._held) >= self.most:
                continue
            seen.add(card.name)
            try:
                network = self.get(card.id)
                if trial := TRIALS.get(card.input.kind):
                    batching.answers(network, Work([trial]), 1)
            except MatpropError as error:
                log.error("%s cannot be loaded: %s", card.id, error)


class Inference:
    """The resident worker: waits for a lane, takes what is there, answers, without delay."""

    def __init__(
        self,
        lanes: WorkerSide,
        residents: Residents,
        batch_edges: int,
        tally: Tally,
        stopping: Stopping,
        *,
        block_s: float = BLOCK_S,
    ) -> None:
        self.lanes = lanes
        self.residents = residents
        self.batch_edges = batch_edges
        self.tally = tally
        self.stopping = stopping
        self.block_s = block_s
        self._busy_since: float | None = None

    def stuck(self) -> bool:
        """Whether a batch has been under way for longer than any batch takes."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > STUCK_S

    def run(self) -> None:
        """Until the worker is told to stop."""
        model: str | None = None
        while not self.stopping.asked:
            try:
                model = self.step(model) if model else self.lanes.wait(self.block_s)
            except BrokerAway as error:
                log.warning("%s", error)
                model = None
                time.sleep(PAUSE_S)

    def step(self, model: str) -> str | None:
        """One take of a lane; returns the next lane with entries, if one came up meanwhile."""
        taken = self.lanes.take(model, self.batch_edges)
        if not taken:
            return self.lanes.wait(self.block_s)
        self._busy_since = began = time.monotonic()
        try:
            replies = self._replies(model, taken)
        finally:
            self._busy_since = None
        self.tally.spent("stage_seconds:infer", time.monotonic() - began)
        self.tally.sized("batch_edges", sum(one.edges for one in taken))
        if self.stopping.asked:
            self.lanes.reply(model, replies)
            return None
        return self.lanes.reply_and_wait(model, replies, self.block_s)

    def _replies(self, model: str, taken: list[Taken]) -> list[tuple[Taken, bytes]]:
        try:
            network = self.residents.get(model)
        except MatpropError as error:
            log.error("%s cannot answer: %s", model, error)
            return batching.refused(taken, error)
        return batching.replies(
            network, taken, self.batch_edges, lambda size: self.tally.sized("batch_graphs", size)
        )
