"""Problems: each kind of error becomes the right status, with a type that stays."""

from __future__ import annotations

import httpx
import orjson
import pytest
from fastapi import FastAPI

from query_api.problems import add_problem_handlers, problem_of, problem_response
from query_api.serving import UnknownCollection
from schemas.errors import DecodeError, Fatal, InvalidField, InverError, Poison, Retryable


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InvalidField("id", "", "it must not be empty"), 400, "invalid_field"),
        (DecodeError("no"), 400, "undecodable"),
        (Poison("anything_else", "no"), 400, "anything_else"),
        (UnknownCollection("docs"), 404, "unknown_collection"),
        (InvalidField("version", 1, "no", reason="version_reused"), 409, "version_reused"),
        (InvalidField("text", "…", "split it", reason="document_too_large"), 413, "document_too_large"),
        (Poison("unsupported_media_type", "no"), 415, "unsupported_media_type"),
        (Retryable("the log is away"), 503, "unavailable"),
        (Fatal("bad credentials"), 500, "internal_error"),
    ],
)
def test_every_error_has_its_status_and_type(error: InverError, status: int, reason: str) -> None:
    """The type is a stable URN, the title follows from it, the detail is the error's own sentence."""
    answer = problem_of(error).answer()

    assert answer["status"] == status
    assert answer["type"] == f"urn:inver:problem:{reason}"
    assert answer["title"] == reason.replace("_", " ").capitalize()


def test_a_field_is_named_with_its_remedy() -> None:
    """Programs need not read the sentence."""
    answer = problem_of(InvalidField("metadata.year", "x", "send a number")).answer()

    assert answer["field"] == "metadata.year"
    assert answer["remedy"] == "send a number"
    assert answer["detail"] == "field 'metadata.year' has value 'x': send a number"


@pytest.mark.parametrize(("asked", "told"), [(None, "1"), (0.2, "1"), (2.1, "3")])
def test_unavailable_says_when_to_come_back(asked: float | None, told: str) -> None:
    """Whole seconds, at least one."""
    response = problem_response(problem_of(Retryable("busy", retry_after_seconds=asked)))

    assert response.status_code == 503
    assert response.headers["retry-after"] == told


def test_a_fatal_error_keeps_its_details_from_clients() -> None:
    """Credentials and addresses are for the server's log."""
    assert "secret" not in str(problem_of(Fatal("user 'secret' was refused")).answer())


def test_a_detail_that_is_no_unicode_is_still_answered() -> None:
    """A message may quote anything; a problem about a problem would help nobody."""
    response = problem_response(problem_of(Poison("odd", "it holds \ud800")))

    assert orjson.loads(response.body)["detail"] == "it holds \\ud800"


async def test_an_unexpected_exception_is_a_problem_without_internals() -> None:
    """The client learns that it was not its fault; the server gets the exception."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise RuntimeError("password=hunter2")

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inver") as client:
        response = await client.get("/")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in response.text

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://inver") as client:
        with pytest.raises(RuntimeError):
            await client.get("/")
