"""The wheel: the six rooms and nothing else, and it works by itself, far from the source tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.inver.command_line import environment

REPOSITORY = Path(__file__).parents[2]
ROOMS = {"schemas", "streams", "engines", "consumers", "query_api", "inver"}
RIGHT_DISTRIBUTIONS = """
import json
from importlib.metadata import packages_distributions
found = packages_distributions()
print(json.dumps({room: sorted(set(found[room])) for room in %r}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source distribution, as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(REPOSITORY), cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel in it, and a folder to work in that has nothing of the source tree."""

    home: Path
    python: Path

    def run(self, *arguments: str) -> str:
        """Run `inver` and return what it printed."""
        env = environment(self.home, {"INVER_DATA_DIRECTORY": str(self.home / "data")})
        return _run(str(self.python.with_name("inver")), *arguments, cwd=self.home, env=env)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel alone; what it depends on is lent by the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), cwd=folder)
    python = folder / "venv" / "bin" / "python"
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", str(wheel))
    _run(sys.executable, "-m", "pip", "--python", str(python), *install, cwd=folder)
    [site_packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    # A path added this way has its own .pth files left unread, and so the editable installation stays out of sight.
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    home = folder / "home"
    home.mkdir()
    shutil.copytree(REPOSITORY / "examples" / "documents", home / "documents")
    return Installation(home, python)


def test_the_wheel_holds_the_six_rooms_and_nothing_else(wheel: Path):
    """Every module of the six rooms is in it; no test, benchmark, example or document is."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = {name.partition("/")[0] for name in names} - ROOMS
        entry_points = archive.read(f"{metadata}/entry_points.txt").decode()
    modules = {path.relative_to(REPOSITORY).as_posix() for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")}

    assert metadata.startswith("inver-")
    assert metadata.endswith(".dist-info")
    assert {name for name in names if name.endswith(".py")} == modules
    assert "inver = inver.cli:main" in entry_points


def test_the_installed_command_ingests_and_searches(installed: Installation):
    """`inver --help`, `inver ingest` and `inver search` work on the samples, with the wheel's own code."""
    assert "ingest" in installed.run("--help")
    origin = "import inver, schemas; print(inver.__file__, schemas.__file__)"
    assert _run(str(installed.python), "-c", origin, cwd=installed.home).count(str(installed.python.parents[1])) == 2

    report = json.loads(installed.run("ingest", "documents", "--json"))
    assert report == {"accepted": 10, "searchable": 10, "failed": []}
    answer = json.loads(installed.run("search", "fish that return to the stream of their birth", "-k", "3", "--json"))
    assert len(answer["hits"]) == 3
    assert answer["degraded"] == []


def test_every_room_belongs_to_this_distribution_alone(installed: Installation):
    """No other installed package brings a room's name, here or beside the wheel, where one would shadow the other."""
    claimed = packages_distributions()
    assert {room: set(claimed.get(room, ())) - {"inver"} for room in ROOMS} == {room: set() for room in ROOMS}

    beside = _run(str(installed.python), "-c", RIGHT_DISTRIBUTIONS % sorted(ROOMS), cwd=installed.home)
    assert json.loads(beside) == {room: ["inver"] for room in ROOMS}


def test_a_foreign_package_with_a_rooms_name_is_found_out(installed: Installation):
    """Started where a foreign `schemas` comes first, Inver names both places instead of running on the wrong one."""
    foreign = installed.home / "foreign" / "schemas"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").touch()
    env = environment(installed.home, {"PYTHONPATH": str(foreign.parent)})

    started = subprocess.run(
        [installed.python.with_name("inver"), "--help"], env=env, capture_output=True, text=True, check=False
    )

    assert started.returncode != 0
    assert str(foreign) in started.stderr
    assert str(installed.python.parents[1]) in started.stderr


def _run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
