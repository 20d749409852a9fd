"""The HTTP API: endpoints put together with what answers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from engines.ports import StatusStore
from query_api.addresses import ExactAddresses
from query_api.health import Health
from query_api.limits import ApiLimits
from query_api.openapi import complete
from query_api.problems import add_problem_handlers
from query_api.routes_documents import DocumentRoutes
from query_api.routes_operations import OperationsRoutes
from query_api.routes_search import SearchRoutes
from query_api.routes_status import StatusRoutes
from query_api.search import Searcher
from query_api.serving import Collections
from query_api.writing import DocumentSink

_API_VERSION: Final = "1"
_DESCRIPTION: Final = "Documents in, one hybrid index, ranked answers out. Problems are RFC 9457 documents."


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDependencies:
    """What the endpoints ask."""

    searcher: Searcher
    collections: Collections
    sink: DocumentSink
    statuses: StatusStore
    health: Health
    #: Writes the metrics in Prometheus' text format.
    metrics: Callable[[], bytes]
    #: Which engines stand behind all this, by the name that settings know.
    profile: str
    limits: ApiLimits = field(default_factory=ApiLimits)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return complete(super().openapi())


def create_app(dependencies: ApiDependencies) -> FastAPI:
    """Put the application together; it opens and closes nothing."""
    app = _Api(
        title="Inver",
        version=_API_VERSION,
        description=_DESCRIPTION,
        # Served by OperationsRoutes, with the headers every answer has; the pages for people load foreign scripts.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(ExactAddresses)],
        generate_unique_id_function=lambda route: route.name,
    )
    add_problem_handlers(app)
    collections, statuses, limits = dependencies.collections, dependencies.statuses, dependencies.limits
    SearchRoutes(searcher=dependencies.searcher, collections=collections, limits=limits).add_to(app)
    DocumentRoutes(collections=collections, sink=dependencies.sink, statuses=statuses, limits=limits).add_to(app)
    StatusRoutes(collections=collections, statuses=statuses, limits=limits).add_to(app)
    OperationsRoutes(
        collections=collections,
        statuses=statuses,
        health=dependencies.health,
        metrics=dependencies.metrics,
        profile=dependencies.profile,
    ).add_to(app)
    return app


def openapi_document() -> dict[str, Any]:
    """Describe the API."""
    nothing: Any = None  # To be described, the endpoints need nothing of what answers them.
    dependencies = ApiDependencies(
        searcher=nothing,
        collections=nothing,
        sink=nothing,
        statuses=nothing,
        health=nothing,
        metrics=nothing,
        profile="",
    )
    return create_app(dependencies).openapi()
