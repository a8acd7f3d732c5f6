"""The calls of this process by trace: found at once, bounded, forgotten when they are over."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

from tracing.account.call import Call

_MAX_CALLS = 256
_MAX_OPEN_CALLS = 4096
_LOOKED_AT = 4
"""How many of the oldest a new call asks whether they are over; so its cost does not grow."""


class Calls:
    """One `Call` for each trace; threads share them.

    Beyond `most`, calls without an open span are forgotten, the oldest first; beyond `most_open`
    an open one too, which `forgot` hears of. `held` are traces that are kept all the same.
    """

    def __init__(
        self,
        make: Callable[[], Call],
        *,
        forgot: Callable[[], None],
        held: Callable[[], Collection[int]] = tuple,
        most: int = _MAX_CALLS,
        most_open: int = _MAX_OPEN_CALLS,
    ) -> None:
        self._make = make
        self._forgot = forgot
        self._held = held
        self._most = most
        self._most_open = most_open
        self._by_trace: OrderedDict[int, Call] = OrderedDict()
        self._changing = threading.Lock()
        self.get = self._by_trace.get
        """The call of a trace, if it is known; without a lock, as every span asks."""

    def __len__(self) -> int:
        return len(self._by_trace)

    def of(self, trace_id: int) -> Call:
        """The call of a trace; begun where it is new."""
        return self._by_trace.get(trace_id) or self._begin(trace_id)

    def known(self) -> list[Call]:
        """The calls that are known now."""
        with self._changing:
            return list(self._by_trace.values())

    def move(self, old: int, new: int) -> None:
        """A call goes on in another trace."""
        with self._changing:
            call = self._by_trace.pop(old, None)
            if call is not None:
                self._by_trace[new] = call

    def _begin(self, trace_id: int) -> Call:
        with self._changing:
            call = self._by_trace.get(trace_id)
            if call is None:  # another thread may have been faster
                if len(self._by_trace) >= self._most:
                    self._make_room()
                call = self._by_trace[trace_id] = self._make()
            return call

    def _make_room(self) -> None:
        """Forget those of the oldest that are over; the others are asked again in their turn."""
        held = self._held()
        for trace_id in list(itertools.islice(self._by_trace, _LOOKED_AT)):
            if self._by_trace[trace_id].is_open or trace_id in held:
                self._by_trace.move_to_end(trace_id)
            else:
                del self._by_trace[trace_id]
        if len(self._by_trace) >= self._most_open:
            self._by_trace.popitem(last=False)
            self._forgot()
