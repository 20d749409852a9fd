"""What every OpenSearch adapter shares: the connection, the meaning of its errors, and a bulk writer.

Request bodies and answers are plain dictionaries; opensearch-py brings connections, TLS and time-outs. Nothing is
retried here: a failed call raises one of the three error types at once, and waiting is the caller's decision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from opensearchpy import AsyncOpenSearch, ImproperlyConfigured, OpenSearchException
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import SerializationError, TransportError
from opensearchpy.serializer import JSONSerializer

from schemas.errors import Fatal, InverError, Poison, Retryable

#: OpenSearch takes up to 100 MB, but aiohttp sends larger bodies than this in one go, which blocks the loop.
BULK_LIMIT_BYTES: Final = 1024 * 1024
_SHOWN_REASON_LENGTH: Final = 500
_REQUEST_TIMEOUT_STATUS: Final = 408
_TOO_MANY_REQUESTS_STATUS: Final = 429
_CONFLICT_STATUS: Final = 409
_SERVER_ERROR_STATUS: Final = 500
_ERROR_STATUS: Final = 400
#: Errors with a status that looks final, although the same call may succeed later.
_PASSING_KINDS: Final = frozenset(
    {"cluster_block_exception", "search_context_missing_exception", "snapshot_in_progress_exception"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSearchSettings:
    """Where OpenSearch is and how to be let in. Certificates are always checked when a URL begins with https."""

    urls: tuple[str, ...] = ("http://127.0.0.1:9200",)
    username: str = ""
    password: str = field(default="", repr=False)
    #: A file with the authorities to trust; empty for the system's.
    ca_certificates: str = ""
    #: The longest any single request takes before it counts as failed.
    timeout_seconds: float = 30.0
    #: Requests under way at once, for each URL.
    connections: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOperation:
    """One write. ``index`` is a name that ``create_index`` was called with; ``source`` is ignored by a delete."""

    action: Literal["index", "create", "delete"]
    index: str
    id: str
    source: Mapping[str, object] = field(default_factory=dict)
    #: Conditions on the stored document, such as ``{"if_seq_no": 3, "if_primary_term": 1}``.
    conditions: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of one write. ``sequence_number`` and ``primary_term`` are -1 where nothing was written."""

    id: str
    status: int
    sequence_number: int = -1
    primary_term: int = -1
    error_kind: str = ""
    error_reason: str = ""

    @property
    def is_conflict(self) -> bool:
        """Tell whether a condition on the stored document did not hold."""
        return self.status == _CONFLICT_STATUS

    def error(self) -> InverError | None:
        """Return what to raise for this write, or None where it succeeded or only deleted what was absent."""
        if not self.error_kind:
            return None
        return error_of(self.status, self.error_kind, self.error_reason, f"writing '{self.id}'")


class OpenSearchClient:
    """One pool of connections, for one event loop."""

    def __init__(self, settings: OpenSearchSettings) -> None:
        self._settings = settings
        options: dict[str, Any] = {}
        if settings.username:
            options["http_auth"] = (settings.username, settings.password)
        if settings.ca_certificates:
            options["ca_certs"] = settings.ca_certificates
        try:
            self._transport = AsyncOpenSearch(
                hosts=list(settings.urls),
                serializer=_OrjsonSerializer(),
                pool_maxsize=settings.connections,
                max_retries=0,
                **options,
            ).transport
        except (ImproperlyConfigured, ValueError) as error:
            raise Fatal(f"OpenSearch settings cannot be used: {error}; check the URLs {settings.urls}") from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, object] | bytes | None = None,
        accept: Collection[int] = (),
    ) -> dict[str, Any]:
        """Send one request and return the decoded answer.

        Statuses in ``accept`` are answers too; an accepted 404 for an index carries ``"status": 404``.
        Raises Retryable, Poison or Fatal as ``error_of`` decides.
        """
        media_type = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        try:
            answer = await self._transport.perform_request(
                method,
                path,
                params=dict(parameters) if parameters is not None else None,
                body=body if isinstance(body, bytes) or body is None else orjson.dumps(body),
                # Without it, opensearch-py would take a parameter named "timeout" for its own.
                timeout=self._settings.timeout_seconds,
                ignore=tuple(accept),
                headers={"content-type": media_type},
            )
        except OpenSearchException as error:
            raise self._translate(error, f"{method} {path}") from error
        except (ImproperlyConfigured, OSError) as error:
            raise Fatal(f"OpenSearch at {self._settings.urls} cannot be called: {error}; check its settings") from error
        return answer if isinstance(answer, dict) else {}

    async def bulk(self, operations: Sequence[BulkOperation]) -> list[BulkResult]:
        """Write and return what became of each operation, in order; durable when it returns.

        Raises only where a whole request failed; then any of its operations may have been written. Writing to an
        index that does not exist (any more) is a Fatal result and never creates it.
        """
        results: list[BulkResult] = []
        for body in bulk_bodies(operations):
            answer = await self.request("POST", "/_bulk", parameters={"require_alias": "true"}, body=body)
            results.extend(_bulk_result(item) for item in answer["items"])
        return results

    async def create_index(self, name: str, body: Mapping[str, object]) -> None:
        """Create an index with its settings and mappings, unless one of that name is there.

        Bulk writes go through an alias that comes and goes with the index, because a write to a name that is neither
        would make OpenSearch create an index with guessed mappings.
        """
        try:
            await self.request("PUT", f"/{name}", body={**body, "aliases": {write_alias(name): {}}})
        except Poison as error:
            if error.reason != "resource_already_exists_exception":
                raise Fatal(f"OpenSearch refused to create index '{name}': {error}") from error

    async def delete_index(self, name: str) -> None:
        """Delete an index with everything in it; harmless when it is not there."""
        await self.request("DELETE", f"/{name}", accept=(404,))

    async def ping(self) -> None:
        """Return when a node answers and lets this user in."""
        await self.request("GET", "/")

    async def close(self) -> None:
        """Release the connections."""
        await self._transport.close()

    def _translate(self, error: OpenSearchException, what: str) -> InverError:
        match error:
            case OpenSearchConnectionError():
                return Retryable(f"OpenSearch at {', '.join(self._settings.urls)} does not answer to {what}: {error}")
            case SerializationError():
                return Retryable(f"the answer to {what} is not JSON; is a proxy in front of OpenSearch? {error}")
            case TransportError() if isinstance(error.status_code, int):
                kind, reason = _read_error(error)
                return error_of(error.status_code, kind, reason, what)
            case _:
                return Fatal(f"opensearch-py could not send {what}: {error}")


def write_alias(index: str) -> str:
    """Name the alias through which an index is written."""
    return f"{index}.write"


def error_of(status: int, kind: str, reason: str, what: str) -> InverError:
    """Decide which of the three errors a refusal is; ``kind`` is OpenSearch's own name for it."""
    said = f"OpenSearch answered {status} ({kind}) to {what}: {reason[:_SHOWN_REASON_LENGTH]}"
    if kind in _PASSING_KINDS:
        return Retryable(said)
    if kind in ("index_not_found_exception", "index_closed_exception"):
        return Fatal(f"{said}; the index is gone or closed: restore it, or rebuild this generation from the log")
    if status in (_REQUEST_TIMEOUT_STATUS, _CONFLICT_STATUS, _TOO_MANY_REQUESTS_STATUS) or (
        status >= _SERVER_ERROR_STATUS
    ):
        return Retryable(said)
    if status in (401, 403):
        return Fatal(f"{said}; check the user name, the password and the user's permissions")
    return Poison(kind, said)


def require_complete(answer: Mapping[str, Any], what: str) -> None:
    """Raise Retryable unless every shard took part in time, so that a part is never taken for the whole."""
    shards = answer.get("_shards", {})
    if answer.get("timed_out") or shards.get("failed", 0):
        failures = orjson.dumps(shards.get("failures", [])).decode()[:_SHOWN_REASON_LENGTH]
        raise Retryable(
            f"OpenSearch answered to {what} without all shards: {shards.get('failed', 0)} of {shards.get('total')} "
            f"failed, timed out: {bool(answer.get('timed_out'))}; {failures}"
        )


def bulk_bodies(operations: Sequence[BulkOperation], limit_bytes: int = BULK_LIMIT_BYTES) -> list[bytes]:
    """Write operations as NDJSON bodies, each under the limit unless a single operation is larger."""
    bodies: list[bytes] = []
    lines: list[bytes] = []
    size = 0
    for operation in operations:
        line = _bulk_line(operation)
        if lines and size + len(line) > limit_bytes:
            bodies.append(b"".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        bodies.append(b"".join(lines))
    return bodies


def _bulk_line(operation: BulkOperation) -> bytes:
    target = {"_index": write_alias(operation.index), "_id": operation.id, **operation.conditions}
    action = orjson.dumps({operation.action: target}, option=orjson.OPT_APPEND_NEWLINE)
    if operation.action == "delete":
        return action
    return action + orjson.dumps(operation.source, option=orjson.OPT_APPEND_NEWLINE)


def _bulk_result(item: Mapping[str, Mapping[str, Any]]) -> BulkResult:
    outcome = next(iter(item.values()))
    error = outcome.get("error") or {}
    return BulkResult(
        id=outcome["_id"],
        status=outcome["status"],
        sequence_number=outcome.get("_seq_no", -1),
        primary_term=outcome.get("_primary_term", -1),
        error_kind=error.get("type", ""),
        error_reason=_with_cause(error),
    )


def _read_error(error: TransportError) -> tuple[str, str]:
    """Take kind and reason out of an answer; a proxy's page has neither and is shown as it is."""
    detail = error.info.get("error") if isinstance(error.info, Mapping) else None
    if isinstance(detail, Mapping):
        return str(detail.get("type", "unknown")), _with_cause(detail)
    return "unknown", str(detail if detail is not None else error.error)


def _with_cause(error: Mapping[str, Any]) -> str:
    reason = str(error.get("reason") or "")
    cause = error.get("caused_by")
    return f"{reason}; {_with_cause(cause)}" if isinstance(cause, Mapping) else reason


class _OrjsonSerializer(JSONSerializer):
    """Decode answers with orjson; bodies arrive encoded."""

    def loads(self, s: str) -> Any:
        try:
            return orjson.loads(s)
        except orjson.JSONDecodeError as error:
            raise SerializationError(s[:_SHOWN_REASON_LENGTH], error) from error

    def dumps(self, data: Any) -> Any:
        return data
