"""The Catalog in an OpenSearch index."""

from __future__ import annotations

from engines.opensearch_client import OpenSearchClient
from engines.opensearch_registers import OpenSearchRegisters
from engines.registers import RegisterCatalog


class OpenSearchCatalog(RegisterCatalog):
    """Catalog records in one small index."""

    def __init__(self, client: OpenSearchClient, *, index: str = "inver-catalog") -> None:
        super().__init__(OpenSearchRegisters(client, index=index, kind="catalog", body_fields={}))
