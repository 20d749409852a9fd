"""Chooses loopback ports that nobody listens on."""

import socket

from schemas.errors import Fatal

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now, on the loopback address and on every address."""
    for address in (LOOPBACK, "0.0.0.0"):  # noqa: S104 -- Milvus listens on every address, so that must be free too
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # Without it a port in TIME_WAIT, after a quick restart, would pass for taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def free_port(first: int, *, last: int = 65535, neighbours: int = 1) -> int:
    """The lowest port from `first` to `last` that is free together with the ones after it, `neighbours` in all."""
    run = 0
    for port in range(first, last + 1):
        run = run + 1 if is_free(port) else 0
        if run == neighbours:
            return port - neighbours + 1
    raise Fatal(
        f"no {neighbours} neighbouring ports from {first} to {last} are free on {LOOPBACK}: "
        "stop what listens there, or name other ports"
    )
