"""Ports: the usual one where it is free, the same one ever after, and a clear word where it is taken."""

import socket
from pathlib import Path

import pytest

from inver.servers.port_book import PortBook
from inver.servers.ports import LOOPBACK, free_port, is_free
from schemas.errors import Fatal


@pytest.fixture
def taken_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_the_search_goes_past_a_taken_port(taken_port: int) -> None:
    assert free_port(taken_port) > taken_port


def test_neighbours_are_free_together(taken_port: int) -> None:
    first = free_port(taken_port - 1, neighbours=3)

    assert taken_port not in range(first, first + 3)


def test_a_search_without_result_names_the_range(taken_port: int) -> None:
    with pytest.raises(Fatal, match=f"from {taken_port} to {taken_port}"):
        free_port(taken_port, last=taken_port)


def test_a_chosen_port_is_found_again(tmp_path: Path) -> None:
    wanted = free_port(21000)
    PortBook(tmp_path / "ports.json").decide("kafka", wanted)

    assert PortBook(tmp_path / "ports.json").client_port("kafka") == wanted


def test_a_recorded_port_that_someone_took_is_not_exchanged_silently(tmp_path: Path, taken_port: int) -> None:
    (tmp_path / "ports.json").write_text(f'{{"kafka": {taken_port}}}', encoding="utf-8")

    with pytest.raises(Fatal, match=f"kafka can't use 127.0.0.1:{taken_port}"):
        PortBook(tmp_path / "ports.json").decide("kafka", None)


def test_a_wanted_port_that_is_taken_is_refused(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(Fatal, match="name another port for milvus"):
        PortBook(tmp_path / "ports.json").decide("milvus", taken_port)


def test_the_ports_of_one_server_leave_those_of_another_alone(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    book.decide("kafka", free_port(21100))
    before = book.client_port("kafka")
    book.decide("milvus", free_port(21200))

    assert book.client_port("kafka") == before


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{", encoding="utf-8")

    with pytest.raises(Fatal, match="remove it, and name the ports anew"):
        PortBook(tmp_path / "ports.json").client_port("kafka")
