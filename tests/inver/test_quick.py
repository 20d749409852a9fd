"""Nothing heavy is imported where a person waits for a quick answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.inver.command_line import CommandLine, environment

HEAVY = ("numpy", "pydantic", "fastapi", "httpx", "openvino", "torch", "aiokafka", "pymilvus", "opensearchpy")
#: Runs a piece of Python and then tells which of the heavy packages it has loaded.
PROBE = f"""
import sys
try:
    {{work}}
finally:
    loaded = sorted(name for name in {HEAVY!r} if name in sys.modules)
    print("LOADED", *loaded, file=sys.__stderr__, flush=True)
"""


def loaded_by(work: str, home: Path) -> list[str]:
    """Return which heavy packages a piece of Python loads."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(work=work)],
        cwd=home,
        env=environment(home, {"INVER_DATA_DIRECTORY": str(home / "data")}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("LOADED")]
    return line.split()[1:]


def test_help_loads_nothing_heavy(tmp_path: Path):
    """`inver --help` answers before a single engine, framework or client library is loaded."""
    assert loaded_by("import inver.cli; sys.argv = ['inver', '--help']; inver.cli.main()", tmp_path) == []


def test_a_search_that_a_service_answers_loads_nothing_heavy(tmp_path: Path):
    """Beside `inver up`, a search costs a connection and the standard library."""
    inver = CommandLine(tmp_path)
    with inver.up():
        assert inver("ingest", "-", stdin=b'{"id": "a", "text": "words"}').code == 0

        assert loaded_by("from inver.commands.searching import search; search('words')", tmp_path) == []
