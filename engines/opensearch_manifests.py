"""The ManifestStore in an OpenSearch index, one index for each generation."""

from __future__ import annotations

from typing import Final

from engines.opensearch_client import OpenSearchClient
from engines.opensearch_registers import OpenSearchRegisters
from engines.registers import RegisterManifestStore

#: What operators count and filter by; the rest of a manifest is stored and not indexed.
_FIELDS: Final = {
    "version": {"type": "long"},
    "rows_version": {"type": "long"},
    "row_count": {"type": "long"},
    "deleted": {"type": "boolean"},
}


class OpenSearchManifestStore(RegisterManifestStore):
    """Manifests in one index. A generation's name is never used again, so that no old token fits a new manifest."""

    def __init__(self, client: OpenSearchClient, *, index: str, shards: int = 1) -> None:
        super().__init__(OpenSearchRegisters(client, index=index, kind="manifests", body_fields=_FIELDS, shards=shards))
