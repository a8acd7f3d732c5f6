"""A job's process is set up as its worker was, where the agent's module does not do it itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracing.capture.current import current_capture
from tracing.safe_text import get_logger
from tracing.spool import losses
from tracing.spool.losses import Ledger

logger = get_logger(__name__)


def hand_over(server: Any, set_up: Callable[[], Any], directory: Path) -> None:
    """Have an AgentServer's job processes call `set_up`, unless they have set up themselves.

    A set-up under `if __name__ == "__main__"` is not seen by job processes started by fork
    server or spawn. They are given the server's `setup_fnc`, so that is extended. `directory` is
    the spool where what cannot be handed over is counted.
    """
    prewarm = getattr(server, "_setup_fnc", None)
    if isinstance(prewarm, SetUpToo):  # of an earlier pipeline
        prewarm = prewarm.prewarm
    server._setup_fnc = SetUpToo(prewarm, set_up, directory)


class SetUpToo:
    """A worker's `setup_fnc`, and after it the set-up of a process that has none."""

    def __init__(
        self, prewarm: Callable[[Any], Any] | None, set_up: Callable[[], Any], directory: Path
    ) -> None:
        self.prewarm = prewarm
        self._directory = directory
        try:  # in bytes, so that what a job's process cannot read costs it no more than the set-up
            self._set_up, self._why_not = pickle.dumps(set_up), ""
        except Exception as error:
            self._set_up, self._why_not = b"", str(error)

    def __call__(self, process: Any) -> Any:
        """Called by LiveKit with a JobProcess, before its first job."""
        result = self.prewarm(process) if self.prewarm is not None else None
        if current_capture() is None:
            self._set_up_here()
        return result

    def _set_up_here(self) -> None:
        try:
            if self._why_not:
                raise pickle.PicklingError(self._why_not)
            pickle.loads(self._set_up)()
        except Exception as error:
            ledger = Ledger(self._directory)
            ledger.count(losses.NOT_SET_UP, detail=str(error))
            ledger.settle(finally_=True)
            logger.warning(
                "setup_tracer was not called in this job's process, and cannot be repeated here "
                "(%s): nothing is recorded. Call it where the agent's module is imported, not "
                'under `if __name__ == "__main__"`.',
                error,
            )
