"""Brings the exact jars that jars.lock names, each checked by its SHA-256."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Fatal

_LOCK_FILE = Path(__file__).with_name("jars.lock")
_DOWNLOAD_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedJar:
    """One line of the lock: the Maven coordinate and the hash of the only bytes that are accepted."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def file_name(self) -> str:
        """A cache name that holds the hash, so that no other build of the same version is mistaken for it."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}-{self.sha256[:12]}.jar"

    def __str__(self) -> str:
        return ":".join(part for part in (self.group, self.artifact, self.version, self.classifier) if part)


def locked_jars(server: str, lock_text: str | None = None) -> tuple[LockedJar, ...]:
    """The jars of one server, in class path order."""
    jars = []
    for line in (_LOCK_FILE.read_text(encoding="utf-8") if lock_text is None else lock_text).splitlines():
        if not line or line.startswith("#"):
            continue
        owner, coordinate, sha256 = line.split()
        if owner == server:
            group, artifact, version, *classifier = coordinate.split(":")
            jars.append(
                LockedJar(
                    group=group, artifact=artifact, version=version, classifier="".join(classifier), sha256=sha256
                )
            )
    return tuple(jars)


def class_path(server: str, cache_directory: Path) -> str:
    """The class path of one server; what the cache lacks is fetched first."""
    jars = locked_jars(server)
    fetch(jars, cache_directory)
    return os.pathsep.join(str(cache_directory / jar.file_name) for jar in jars)


def fetch(jars: tuple[LockedJar, ...], cache_directory: Path) -> None:
    """Fills the cache; a jar that is there was checked when it came. Raises Fatal where one can't be had or differs."""
    missing = [jar for jar in jars if not (cache_directory / jar.file_name).exists()]
    if not missing:
        return
    cache_directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=cache_directory, prefix=".fetching-") as scratch,
        ThreadPoolExecutor(_DOWNLOAD_THREADS) as threads,
    ):
        for _ in threads.map(lambda jar: _fetch_one(jar, cache_directory, Path(scratch)), missing):
            pass


def _fetch_one(jar: LockedJar, cache_directory: Path, scratch: Path) -> None:
    source = _resolve(jar, scratch)
    found = _sha256(source)
    if found != jar.sha256:
        raise Fatal(
            f"{jar} has SHA-256 {found}, but jars.lock names {jar.sha256}: it is damaged or was tampered with; "
            f"remove {source} if it is kept, and try again"
        )
    draft = scratch / f"{jar.file_name}.draft"
    shutil.copyfile(source, draft)
    # The name appears only when the bytes are whole and checked, whoever else is fetching the same.
    draft.replace(cache_directory / jar.file_name)


def _resolve(jar: LockedJar, scratch: Path) -> Path:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise Fatal("jgo, which fetches the servers' jars, is not installed: pip install 'inver[servers]'") from error
    context = MavenContext(repo_cache=scratch / "repository", timeout=60)
    kept = _kept_by_maven(os.environ) / jar.group.replace(".", "/") / jar.artifact / jar.version
    kept_file = kept / f"{jar.artifact}-{jar.version}{'-' + jar.classifier if jar.classifier else ''}.jar"
    if kept_file.exists() and _sha256(kept_file) == jar.sha256:
        return kept_file
    try:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        return component.artifact(classifier=jar.classifier).resolve()
    # Both its own complaints and those of the HTTP library below it: any of them means that the jar can't be had.
    except (RuntimeError, OSError) as error:
        raise Fatal(
            f"{jar} can't be downloaded ({type(error).__name__}: {error}): look whether a Maven repository can be "
            "reached, or copy the cache folder from a machine where `inver servers up` has run"
        ) from error


def _kept_by_maven(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("M2_REPO", "~/.m2/repository")).expanduser()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
