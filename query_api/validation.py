"""Checking a request against its model: the first field that breaks its rule is named, with the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import InvalidField

Model = TypeVar("Model", bound=BaseModel)


class StrictModel(BaseModel):
    """A request's shape: a name that is not in it is a mistake, and a number in quotes is a string."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def parse_model(model: type[Model], raw: object) -> Model:
    """Check decoded JSON. Raises InvalidField."""
    if not isinstance(raw, dict):
        raise InvalidField("body", raw, "it must be a JSON object")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise invalid_field(first, place=first["loc"]) from None


def invalid_field(error: Mapping[str, Any], *, place: Sequence[int | str]) -> InvalidField:
    """Translate one of pydantic's errors."""
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".") or "body"
    match error["type"]:
        case "missing":
            return InvalidField(field, None, "it is required", reason="missing_field")
        case "extra_forbidden":
            return InvalidField(field, error["input"], "it is not a field of this request; leave it out")
        case _:
            message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "it must")
            return InvalidField(field, error["input"], message)
