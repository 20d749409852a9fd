"""A person's mistakes: each gets one sentence that says what to do, a stable exit code, and never a traceback."""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inver.lock import published_address
from tests.inver.command_line import CommandLine

USAGE, REFUSED, UNAVAILABLE, FATAL = 2, 3, 4, 5


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A running service with one document."""
    command = CommandLine(tmp_path_factory.mktemp("mistakes"))
    with command.up():
        assert command("ingest", "-", stdin=b'{"id": "a", "text": "words"}').code == 0
        yield command


@pytest.fixture
def inver(tmp_path: Path) -> CommandLine:
    """An empty folder, and nothing that runs."""
    return CommandLine(tmp_path)


WRONG_USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown leg": (("search", "x", "--leg", "both"), "'both' is not one of hybrid, dense, sparse"),
    "filter without an operator": (("search", "x", "--filter", "year"), "'year' is neither JSON nor name=value"),
    "filter that is broken JSON": (("search", "x", "--filter", '{"field": '), "is not JSON"),
    "filter with NaN": (("search", "x", "--filter", '{"field": "year", "eq": NaN}'), "NaN is no JSON number"),
    "filter without a bottom": (("search", "x", "--filter", '{"not":' * 10_000), "is not JSON"),
    "size that is no number": (("search", "x", "-k", "many"), "-k"),
    "no query": (("search",), "query"),
    "unknown role": (("run", "fly"), "'fly' is not one of chunk, embed, index, api"),
    "unknown command": (("find", "x"), "find"),
}


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage_is_refused_before_anything_opens(inver: CommandLine, name: str):
    """What the command line itself can see gets exit code 2, and no data directory is made."""
    arguments, words = WRONG_USAGE[name]

    assert words in inver(*arguments).sentence(USAGE)
    assert not inver.data.exists()


REFUSALS: dict[str, tuple[tuple[str | bytes, ...], str]] = {
    "bad collection name": (("search", "x", "-c", "Bad Name"), "field 'collection' has value 'Bad Name'"),
    "bad collection name on the way in": (("ingest", ".", "-c", "Bad Name"), "field 'collection' has value"),
    "unknown collection": (("search", "x", "-c", "nothing"), "there is no collection 'nothing'"),
    "status in an unknown collection": (("status", "x", "-c", "nothing"), "there is no collection 'nothing'"),
    "delete in an unknown collection": (("delete", "x", "-c", "nothing"), "there is no collection 'nothing'"),
    "empty query": (("search", ""), "field 'query' has value ''"),
    "blank query": (("search", " \t"), "it holds no visible character"),
    "no hits wanted": (("search", "x", "-k", "0"), "field 'size' has value 0"),
    "too many hits wanted": (("search", "x", "-k", "100000"), "field 'size' has value 100000"),
    "filter that names no field": (("search", "x", "--filter", '{"eq": 1}'), "field 'filter"),
    "unknown document": (("show", "nobody"), "there is no such document"),
    "id of 2,000 characters": (("status", "x" * 2_000), "field 'id'"),
    "id that is not UTF-8": (("show", b"caf\xe9"), "UTF-8"),
    "tenant that is empty": (("search", "x", "--tenant", ""), "field 'tenant'"),
    "query that is not UTF-8": (("search", b"caf\xe9"), "UTF-8"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_breaks_a_rule_is_refused_with_the_rule(served: CommandLine, name: str):
    """What Inver refuses gets exit code 3 and the API's own sentence."""
    arguments, words = REFUSALS[name]

    assert words in served(*arguments).sentence(REFUSED)


def test_a_service_refuses_a_port_that_is_taken(served: CommandLine, inver: CommandLine):
    """A second service on a port in use says so, and which option helps."""
    port = (published_address(served.data) or "").rpartition(":")[2]

    assert f"cannot listen on 127.0.0.1:{port}" in inver("up", "--port", port).sentence(FATAL)


def test_a_service_refuses_a_directory_that_another_one_serves(served: CommandLine):
    """A second service on a data directory says at once where the first one is."""
    sentence = served("up", "--port", "0").sentence(FATAL)

    assert f"Inver serves {served.data} at http://127.0.0.1:" in sentence
    assert served("search", "words").code == 0


def test_a_directory_in_use_is_said_to_be_with_the_process(inver: CommandLine):
    """Where another command works, the next one waits a little and then names the process."""
    inver.data.mkdir()
    with (inver.data / "inver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()

        assert f"data directory {inver.data} is in use by process 4711" in inver("search", "x").sentence(FATAL)


def test_a_directory_that_is_a_file_is_refused(inver: CommandLine):
    """A data directory must be one, for commands and for the service alike."""
    inver.data.write_text("not a directory")

    for arguments in (("search", "x"), ("up", "--port", "0"), ("topics", "apply")):
        assert f"data directory {inver.data} is a file" in inver(*arguments).sentence(FATAL)


def test_a_directory_that_cannot_be_written_is_refused(inver: CommandLine):
    """A data directory on a file system that takes nothing is refused, whoever asks."""
    for directory, words in (("/proc/inver", "cannot be made"), ("/proc", "cannot be written to")):
        sentence = inver("search", "x", data=Path(directory)).sentence(FATAL)

        assert f"data directory {directory} {words}" in sentence


SETTINGS: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "unknown profile": (("search", "x", "--profile", "moon"), {}, "setting 'profile' has value 'moon'"),
    "cluster without addresses": (
        ("search", "x", "--profile", "cluster"),
        {},
        "profile=cluster needs addresses.kafka (INVER_ADDRESSES__KAFKA)",
    ),
    "servers that do not run": (("search", "x", "--profile", "servers"), {}, "start them with `inver servers up"),
    "one role of the embedded profile": (("run", "index"), {}, "use `inver up`"),
    "unknown model": (
        ("ingest", "inver.toml.txt"),
        {"INVER_EMBEDDING__MODEL": "no/such-model", "HF_HUB_OFFLINE": "1"},
        "no/such-model",
    ),
    "path to watch that is not there": (("up", "nowhere"), {}, "there is no file or folder 'nowhere'"),
    "address of the whole world": (("up", "--host", "0.0.0.0"), {}, "loopback only"),  # noqa: S104
    "port that is none": (("up", "--port", "70000"), {}, "setting 'port' has value 70000"),
    "config file that is not there": (("search", "x"), {"INVER_CONFIG": "none.toml"}, "INVER_CONFIG names 'none.toml'"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_work_are_refused(inver: CommandLine, name: str):
    """Contradictions are named with the setting and the value, before anything is changed."""
    arguments, env, words = SETTINGS[name]
    (inver.home / "inver.toml.txt").write_text("words")

    assert words in inver(*arguments, env=env).sentence(FATAL)


def test_a_broken_settings_file_is_refused(inver: CommandLine):
    """An inver.toml that is not TOML is named, whether or not the data directory is found in it."""
    (inver.home / "inver.toml").write_text("profile = ")

    assert "inver.toml" in inver("search", "x").sentence(FATAL)
    assert "inver.toml" in inver("up", "--port", "0").sentence(FATAL)


class _Teapot(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"teapot": true}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it that
        """Say nothing."""


@pytest.fixture
def foreign_server() -> Iterator[str]:
    """A web server that is not Inver."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Teapot)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def publish(inver: CommandLine, url: str) -> None:
    """Leave an address behind that names a living process, as after a crash whose process id is in use again."""
    inver.data.mkdir(exist_ok=True)
    (inver.data / "inver.address.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def test_an_address_that_is_not_inver_is_passed_over(inver: CommandLine, foreign_server: str):
    """An address left behind, whose port is somebody else's or nobody's now, does not keep a command from working."""
    publish(inver, foreign_server)
    assert inver("ingest", "-", "--json", stdin=b'{"id": "a", "text": "words"}').json()["searchable"] == 1

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    publish(inver, f"http://127.0.0.1:{port}")
    assert inver("status", "a", "--json").json()["state"] == "searchable"
