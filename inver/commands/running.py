"""Commands that run things: up, run, topics, servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inver.commands.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    DataDir,
    JsonOption,
    ProfileOption,
    note,
    print_json,
    show_text,
)

if TYPE_CHECKING:
    from inver.servers.cluster import ServersStatus
    from inver.settings import Settings

_ROLES: Final = ("chunk", "embed", "index", "api")

topics = typer.Typer(help="The topics of every collection.", no_args_is_help=True)
servers = typer.Typer(help="Real Kafka, OpenSearch and Milvus on this machine, without Docker.", no_args_is_help=True)


def up(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders to ingest and to watch.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    host: Annotated[str | None, typer.Option("--host", help="127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="8642 unless set; 0 for a free one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline and the query API in this process, until Ctrl-C."""
    import asyncio

    from inver.logs import configure_logs
    from inver.runtime import ALL_STAGES
    from inver.service import run_service
    from inver.settings import load_settings
    from schemas.errors import Fatal

    missing = [path for path in paths or [] if not path.exists()]
    if missing:
        raise Fatal(f"there is no file or folder {str(missing[0])!r}")
    settings = load_settings(data_directory=data_dir, profile=profile, host=host, port=port)
    configure_logs()
    asyncio.run(
        run_service(
            settings,
            stages=ALL_STAGES,
            serve_api=True,
            watch=tuple(paths or ()),
            collection=collection,
            announce=_announcer(as_json=as_json),
        )
    )


def run(
    role: Annotated[str, typer.Argument(help="chunk, embed, index or api.")],
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    host: Annotated[str | None, typer.Option("--host", help="For api: 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="For api: 8642 unless set.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one role in this process; start as many processes as there is work for."""
    if role not in _ROLES:
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(_ROLES)}", param_hint="ROLE")
    import asyncio

    from consumers.stages import PIPELINE, STATUS
    from inver.logs import configure_logs
    from inver.service import run_service
    from inver.settings import Profile, load_settings
    from schemas.errors import Fatal

    settings = load_settings(data_directory=data_dir, profile=profile, host=host, port=port)
    if settings.profile is Profile.EMBEDDED:
        raise Fatal("profile=embedded runs in one process: use `inver up`, or choose --profile servers or cluster")
    configure_logs()
    stages = {stage.name: stage for stage in PIPELINE} | {"api": STATUS}
    asyncio.run(
        run_service(settings, stages=(stages[role],), serve_api=role == "api", announce=_announcer(as_json=as_json))
    )


def _announcer(*, as_json: bool) -> Callable[[str], None]:
    """Tell what happens on standard error, or as one JSON object a line on standard output."""
    return (lambda line: print_json({"announcement": line})) if as_json else note


@topics.command("apply")
def topics_apply(
    collections: Annotated[list[str] | None, typer.Argument(help="Collections to create if they are new.")] = None,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the topics that are missing, for the collections named and every other in the catalog."""
    import asyncio

    from inver.settings import load_settings

    settings = load_settings(data_directory=data_dir, profile=profile)
    applied = asyncio.run(_apply_topics(settings, collections or []))
    if as_json:
        print_json({"topics": applied})
    else:
        for name in applied:
            show_text(f"{name}\n")


async def _apply_topics(settings: Settings, new: list[str]) -> list[str]:
    from inver.data_directory import prepare_data_directory
    from inver.runtime import open_runtime
    from streams.topics import collection_topics

    prepare_data_directory(settings.data_directory)
    names: list[str] = []
    async with open_runtime(settings, ()) as runtime:
        for collection in new:
            await runtime.directory.ensure(collection)
        for collection in await runtime.directory.names():
            record = await runtime.directory.record(collection)
            await runtime.directory.prepare(record)
            names += [topic.name for topic in collection_topics(record.name, record.live, record.partitions)]
    return names


@servers.command("up")
def servers_up(
    data_dir: DataDir = None,
    kafka_port: Annotated[int | None, typer.Option(help="9092, or a free one.")] = None,
    opensearch_port: Annotated[int | None, typer.Option(help="9200, or a free one.")] = None,
    milvus_port: Annotated[int | None, typer.Option(help="19530, or a free one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Start what is not running yet, and wait until all three answer."""
    from inver.data_directory import find_data_directory
    from inver.servers.cluster import ServerOptions, Servers

    options = ServerOptions(kafka_port=kafka_port, opensearch_port=opensearch_port, milvus_port=milvus_port)
    _print_servers(Servers(find_data_directory(data_dir), options).up(progress=note), as_json=as_json)


@servers.command("down")
def servers_down(data_dir: DataDir = None, as_json: JsonOption = False) -> None:
    """Stop them; their data stays."""
    from inver.data_directory import find_data_directory
    from inver.servers.cluster import Servers

    _print_servers(Servers(find_data_directory(data_dir)).down(progress=note), as_json=as_json)


@servers.command("status")
def servers_status(data_dir: DataDir = None, as_json: JsonOption = False) -> None:
    """Tell how each of them is."""
    from inver.data_directory import find_data_directory
    from inver.servers.cluster import Servers

    _print_servers(Servers(find_data_directory(data_dir)).status(), as_json=as_json)


def _print_servers(status: ServersStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {server.name: {"state": server.state, "address": server.address, "pid": server.pid} for server in status}
        )
        return
    for server in status:
        show_text(f"{server.name:<11} {server.state.value:<9} {server.address}\n")
