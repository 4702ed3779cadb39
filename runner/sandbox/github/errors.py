"""GitHub's refusals, in GitHub's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"


class ApiError(Exception):
    """A request that GitHub refuses; ``errors`` are the members of the same name in its answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Mapping[str, Any] | str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        body: dict[str, Any] = {"message": self.message}
        if self.errors:
            body["errors"] = self.errors
        return {**body, "documentation_url": DOCUMENTATION, "status": str(self.status)}


def not_found() -> ApiError:
    """What is missing, and what this token may not even know about."""
    return ApiError(404, "Not Found")


def invalid(resource: str, field: str, message: str, *, code: str = "custom") -> ApiError:
    """A value that GitHub's models refuse."""
    error = {"resource": resource, "field": field, "code": code, "message": message}
    return ApiError(422, "Validation Failed", errors=[error])


def unprocessable(*reasons: str) -> ApiError:
    """The shorter 422 that the review endpoints use."""
    return ApiError(422, "Unprocessable Entity", errors=reasons)
