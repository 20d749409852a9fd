"""Finding Java: new enough, with the modules a server needs, else a sentence that says what to do."""

from pathlib import Path

import pytest

from inver.servers import java
from schemas.errors import Fatal


def make_java(home: Path, version: str, *modules: str) -> Path:
    """A program that lists modules as `java --list-modules` does."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    listing = "\n".join(f"{module}@{version}" for module in ("java.base", *modules))
    executable.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}\nEND\n", encoding="utf-8")
    executable.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def _nothing_else_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_USUAL_FOLDERS", ())
    monkeypatch.setattr(java, "_fetched", lambda: (None, "cjdk could not fetch one (ConnectionError)"))


def test_java_home_is_taken_first(tmp_path: Path) -> None:
    home = make_java(tmp_path / "home", "21.0.4")
    other = make_java(tmp_path / "other", "25.0.1")

    found = java.find_java(environment={"JAVA_HOME": str(home), "PATH": str(other / "bin")})

    assert found.executable == home / "bin" / "java"
    assert found.major == 21


def test_an_old_java_is_passed_over(tmp_path: Path) -> None:
    old = make_java(tmp_path / "old", "17.0.2")
    good = make_java(tmp_path / "good", "25.0.1")

    assert java.find_java(environment={"JAVA_HOME": str(old), "PATH": str(good / "bin")}).major == 25


def test_a_java_in_a_usual_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_java(tmp_path / "jvm" / "temurin-25", "25.0.1")
    monkeypatch.setattr(java, "_USUAL_FOLDERS", (f"{tmp_path}/jvm/*",))

    assert java.find_java(environment={"PATH": ""}).major == 25


def test_a_java_without_a_needed_module_is_rejected_by_name(tmp_path: Path) -> None:
    home = make_java(tmp_path / "home", "25.0.1")

    with pytest.raises(Fatal, match=r"lacks jdk\.localedata.*apt-get install openjdk-21-jre-headless.*JAVA_HOME"):
        java.find_java(frozenset({"jdk.localedata"}), environment={"JAVA_HOME": str(home), "PATH": ""})


def test_a_program_that_does_not_run_is_no_java(tmp_path: Path) -> None:
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)

    assert java.inspect(broken) is None


def test_the_java_that_cjdk_fetches_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = java.inspect(make_java(tmp_path / "fetched", "21.0.4") / "bin" / "java")
    monkeypatch.setattr(java, "_fetched", lambda: (fetched, ""))

    assert java.find_java(environment={"PATH": ""}) == fetched
