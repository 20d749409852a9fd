"""The rooms are ours: a foreign package of the same name is noticed before it does harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inver.rooms
from inver.rooms import ROOMS, check_rooms

HOME = Path(inver.rooms.__file__).parents[1]


def test_here_all_rooms_are_ours():
    """Nothing to say."""
    check_rooms()


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("kind", ["package", "module", "namespace"])
def test_a_foreign_package_is_named_with_both_paths(tmp_path: Path, room: str, kind: str):
    """Whichever room it shadows and whatever form it has: the error says where both are and what to do."""
    if kind == "module":
        (tmp_path / f"{room}.py").write_text("")
    else:
        (tmp_path / room).mkdir()
        if kind == "package":
            (tmp_path / room / "__init__.py").write_text("")
    run = subprocess.run(
        [sys.executable, "-c", "from inver.rooms import check_rooms; check_rooms()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{HOME}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    if kind == "namespace":
        # A regular package further down the path goes before it.
        assert run.returncode == 0, run.stderr
        return
    assert run.returncode == 1
    message = run.stderr.splitlines()[-1]
    assert f"'{room}' at {HOME / room}" in message
    assert str(tmp_path) in message
    assert "environment of its own" in message
