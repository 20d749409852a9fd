"""Asks a server on this machine one short question over HTTP."""

import http.client
from http import HTTPStatus

from inver.servers.ports import LOOPBACK


def http_get(port: int, path: str) -> bytes:
    """The body of a good answer, else nothing; waits for a second at most and never raises."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == HTTPStatus.OK else b""
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()
