"""A question after the status of many documents at once."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from query_api.validation import StrictModel
from schemas.document import DEFAULT_TENANT
from schemas.keys import DocumentKey, validate_key

IDS_LIMIT: Final = 1_000


class StatusBody(StrictModel):
    """The ids of one tenant's documents."""

    ids: Annotated[list[str], Field(min_length=1, max_length=IDS_LIMIT)]
    tenant: str = DEFAULT_TENANT


def documents_of(body: StatusBody) -> list[DocumentKey]:
    """Return the documents asked for. Raises InvalidField."""
    documents = [DocumentKey(body.tenant, identifier) for identifier in body.ids]
    for document in documents:
        validate_key(document)
    return documents
