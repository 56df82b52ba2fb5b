"""A TCP proxy between workers and broker that does to connections what networks do to them."""

import contextlib
import socket
import threading

POPS = (b"BRPOP", b"BZPOPMIN", b"BLMPOP", b"BLPOP")
NOTHING = (b"*-1", b"$-1", b"_\r\n", b"+", b"-", b":")


class Proxy:
    """Forwards until told otherwise; every link is served by two threads."""

    def __init__(
        self, target_port: int, target: str = "127.0.0.1", address: str = "127.0.0.1"
    ) -> None:
        self.target = (target, target_port)
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        self.cut = 0  # replies to blocking pops that were swallowed with their connection
        self._to_cut = 0
        self._lock = threading.Lock()
        self._links: list[tuple[socket.socket, socket.socket]] = []
        self._frozen: set[int] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_replies(self, number: int) -> None:
        """The next so many popped messages never arrive, and their connections end."""
        with self._lock:
            self._to_cut += number

    def half_open(self) -> int:
        """All links of this moment stay open and silent for ever; returns their number."""
        with self._lock:
            alive = [id(link[0]) for link in self._links if link[0].fileno() >= 0]
            self._frozen.update(alive)
            return len(alive)

    def pause(self) -> None:
        """Nothing flows until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self.listener.close()
        for link in self._links:
            for end in link:
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                if self.listener.fileno() < 0:
                    return
                client.close()  # the broker is away
                continue
            link = (client, server)
            self._links.append(link)
            asked = [b""]
            threading.Thread(target=self._up, args=(link, asked), daemon=True).start()
            threading.Thread(target=self._down, args=(link, asked), daemon=True).start()

    def _up(self, link: tuple[socket.socket, socket.socket], asked: list[bytes]) -> None:
        client, server = link
        try:
            while data := client.recv(65536):
                if self._silent(link):
                    continue
                asked[0] = data
                server.sendall(data)
        except OSError:
            pass
        self._end(link)

    def _down(self, link: tuple[socket.socket, socket.socket], asked: list[bytes]) -> None:
        client, server = link
        try:
            while data := server.recv(65536):
                if self._silent(link):
                    continue
                if self._swallow(asked[0], data):
                    break
                client.sendall(data)
        except OSError:
            pass
        self._end(link)

    def _silent(self, link: tuple[socket.socket, socket.socket]) -> bool:
        self._flowing.wait()
        return id(link[0]) in self._frozen

    def _swallow(self, asked: bytes, data: bytes) -> bool:
        if not any(pop in asked for pop in POPS) or data.startswith(NOTHING):
            return False
        with self._lock:
            if not self._to_cut:
                return False
            self._to_cut -= 1
            self.cut += 1
            return True

    def _end(self, link: tuple[socket.socket, socket.socket]) -> None:
        if id(link[0]) in self._frozen:
            return
        for end in link:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
