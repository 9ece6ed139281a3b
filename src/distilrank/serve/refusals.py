"""Requests that are turned away: their HTTP status and the one body that the clients of every form can read."""

from __future__ import annotations

from typing import Any

KINDS = {
    401: "Unauthorized",
    429: "Overloaded",
    500: "Backend",
    503: "Unhealthy",
    504: "Timeout",
}
"""Status -> ``error_type``, the names of text-embeddings-inference as far as it has one; any other is Validation."""


class Refusal(Exception):
    """A request is not answered.

    Args:
        status: HTTP status.
        problem: One sentence for whoever sent it; holds nothing of the texts.
        retry_after: Seconds after which to try again; None when that would not help.
    """

    def __init__(self, status: int, problem: str, *, retry_after: int | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})

    @property
    def body(self) -> dict[str, Any]:
        """The same sentence under every name that clients look it up by.

        ``error`` and ``error_type``: text-embeddings-inference; ``message``: Cohere; ``detail``: Jina and FastAPI.
        """
        return {
            "error": self.problem,
            "error_type": KINDS.get(self.status, "Validation"),
            "message": self.problem,
            "detail": self.problem,
        }
