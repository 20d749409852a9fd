"""Where a benchmark works: its options, a data directory of its own that vanishes afterwards, and servers."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from consumers.stages import StageDefinition
from inver.logs import configure_logs
from inver.runtime import ALL_STAGES, Runtime, open_runtime
from inver.servers.cluster import Servers, ServerState
from inver.settings import DEFAULT_MODEL, Settings, load_settings
from inver.wiring import Wiring
from streams.topics import collection_topics

Result = TypeVar("Result")

INVER: Final = str(Path(sys.executable).with_name("inver"))
_SERVERS: Final = ("kafka", "opensearch", "milvus")
_TERMINATED: Final = 143
_CACHE_BYTES: Final = 2 * 1024**3


def new_parser(description: str | None, *, model: str = DEFAULT_MODEL) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark understands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=("embedded", "servers"), default="embedded")
    parser.add_argument(
        "--data-dir", type=Path, help="where a temporary folder is made, and where servers are looked for"
    )
    parser.add_argument(
        "--model", default=model, help="the embedding model; 'hash' is none and thousands of times faster"
    )
    for name in _SERVERS:
        parser.add_argument(f"--{name}", help=f"the address of a running {name}; without all three they are started")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One benchmark's data directory and the servers it uses; ``collections`` are removed from servers afterwards."""

    profile: str
    directory: Path
    model: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    cache_bytes: int = _CACHE_BYTES
    collections: list[str] = field(default_factory=list)

    def collection(self, name: str) -> str:
        """Return a collection's name that nobody else has, and remember it."""
        unique = f"benchmark-{name}-{secrets.token_hex(4)}"
        self.collections.append(unique)
        return unique

    def below(self, name: str, **changes: Any) -> Place:
        """Return a place with a data directory of its own inside this one."""
        directory = self.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        return replace(self, directory=directory, **changes)

    def settings(self) -> Settings:
        """Return the settings of an Inver here, in this process."""
        return load_settings(
            profile=self.profile,
            data_directory=self.directory,
            addresses=dict(self.addresses) or None,
            embedding={"model": self.model, "cache_bytes": self.cache_bytes},
        )

    def flags(self) -> list[str]:
        """Return the flags that make a command work here."""
        return ["--data-dir", str(self.directory), "--profile", self.profile]

    def environment(self) -> dict[str, str]:
        """Return the environment that gives a command what has no flag."""
        addresses = {f"INVER_ADDRESSES__{name.upper()}": address for name, address in self.addresses.items()}
        embedding = {"INVER_EMBEDDING__MODEL": self.model, "INVER_EMBEDDING__CACHE_BYTES": str(self.cache_bytes)}
        inherited = dict(os.environ)
        # With it every start would compile every module again, which no installed command does.
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**inherited, **addresses, **embedding}


@contextmanager
def open_place(options: argparse.Namespace, **changes: Any) -> Iterator[Place]:
    """Make a temporary data directory, start servers if they are needed, and leave everything as it was."""
    configure_logs(logging.ERROR)
    # Ended from outside, what was started is still stopped and what was made still removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    if options.data_dir is not None:
        options.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="inver-benchmark-", dir=options.data_dir, ignore_cleanup_errors=True
    ) as folder:
        directory = Path(folder)
        with _servers(options, directory) as addresses:
            place = Place(
                profile=options.profile, directory=directory, model=options.model, addresses=addresses, **changes
            )
            try:
                yield place
            finally:
                asyncio.run(remove_collections(place))


@contextmanager
def _servers(options: argparse.Namespace, directory: Path) -> Iterator[dict[str, str]]:
    given = {name: getattr(options, name) for name in _SERVERS if getattr(options, name)}
    if options.profile == "embedded":
        yield {}
    elif len(given) == len(_SERVERS):
        yield given
    else:
        servers = Servers(options.data_dir or directory)
        found = any(server.state is ServerState.RUNNING for server in servers.status())
        try:
            status = servers.up(progress=lambda line: print(line, file=sys.stderr))
            yield {
                "kafka": status.kafka.address,
                "opensearch": f"http://{status.opensearch.address}",
                "milvus": f"http://{status.milvus.address}",
            }
        finally:
            if not found:
                servers.down()


async def remove_collections(place: Place) -> None:
    """Leave nothing on servers that others use: engines, topics, and the record, which no port can delete."""
    if place.profile == "embedded":
        return
    wiring = Wiring(place.settings())
    try:
        for name in place.collections:
            stored = await (await wiring.catalog()).read(name)
            if stored is None:
                continue
            record = stored.record
            async with httpx.AsyncClient(base_url=place.addresses["opensearch"]) as client:
                (await client.delete(f"/inver-catalog/_doc/{name}?refresh=true")).raise_for_status()
            engines = await wiring.engines(name, record.live, record.live_config)
            for store in (engines.vectors, engines.texts, engines.manifests):
                await store.drop()
            topics = [topic.name for topic in collection_topics(name, record.live, record.partitions)]
            await (await wiring.log()).delete_topics(topics)
        place.collections.clear()
    finally:
        await wiring.close()


@asynccontextmanager
async def open_inver(
    place: Place, collection: str, *, stages: tuple[StageDefinition, ...] = ALL_STAGES
) -> AsyncIterator[Runtime]:
    """Open a whole Inver in this process, with a collection in it that is ready."""
    async with open_runtime(place.settings(), stages) as runtime:
        await runtime.directory.ensure(collection)
        runtime.pipeline.look_again()
        yield runtime


async def while_running(runtime: Runtime, work: Coroutine[Any, Any, Result], *, seconds: float) -> Result:
    """Do something that needs the pipeline. Raises what ended the pipeline, or TimeoutError, instead of waiting on."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, runtime.pipeline_task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    if runtime.pipeline_task.done():
        runtime.pipeline_task.result()
        raise RuntimeError("the pipeline ended before the work was done")
    raise TimeoutError(f"not done within {seconds:.0f} s")
