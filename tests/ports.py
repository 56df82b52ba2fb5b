"""Ports of servers that tests start, stop and start again."""

import socket


def free_port() -> int:
    """A port that nobody else is given while these tests run, even when no one listens there.

    It stays bound, without listening, so calls are refused; a server shares it by SO_REUSEADDR.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port = int(held.getsockname()[1])
    held.detach()
    return port
