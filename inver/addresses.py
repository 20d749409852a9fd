"""Where the servers are: what is set, or what ``inver servers up`` started below the data directory."""

from __future__ import annotations

from dataclasses import dataclass

from inver.settings import Profile, Settings
from schemas.errors import Fatal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddresses:
    """``kafka`` is host:port pairs joined by commas; the others are URLs."""

    kafka: str
    opensearch: str
    milvus: str


def server_addresses(settings: Settings) -> ServerAddresses:
    """Return where to connect to. Raises Fatal, with the command to run, when nothing is set and nothing runs."""
    given = settings.addresses
    if given.kafka and given.opensearch and given.milvus:
        return ServerAddresses(kafka=given.kafka, opensearch=given.opensearch, milvus=given.milvus)
    from inver.servers.cluster import Servers

    status = Servers(settings.data_directory).status()
    if settings.profile is not Profile.SERVERS or not status.all_running:
        raise Fatal(
            f"no servers run below {settings.data_directory}: start them with "
            f"`inver servers up --data-dir {settings.data_directory}`, or set addresses.kafka, .opensearch and .milvus"
        )
    return ServerAddresses(
        kafka=given.kafka or status.kafka.address,
        opensearch=given.opensearch or f"http://{status.opensearch.address}",
        milvus=given.milvus or f"http://{status.milvus.address}",
    )
