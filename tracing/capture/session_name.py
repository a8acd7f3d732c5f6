"""The application's own name of a call: a function that may fail, which costs only that name."""

from __future__ import annotations

from collections.abc import Callable

from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.span import Attributes

logger = get_logger(__name__)


class SessionNamer:
    """Asks the application's function for the name of a call; where it has none, nobody fails.

    `told` makes of an error what may be said of it.
    """

    def __init__(
        self,
        function: Callable[[Attributes], object],
        told: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        self._function = function
        self._told = told
        self._complaint = OncePerMinute()

    def __call__(self, known: Attributes) -> str | None:
        """The name that the function makes of what is known of the call; None without one."""
        try:
            name = self._function(known)
        except Exception as error:
            self._complain(f"raised {self._told(error)!r}")
            return None
        if isinstance(name, str):
            return str.__str__(name) or None
        if name is not None:
            self._complain(f"returned {type(name).__name__}, which is no text")
        return None

    def _complain(self, what: str) -> None:
        if self._complaint.is_due():
            logger.warning("session_id %s: the call is named by its room and its job instead", what)
