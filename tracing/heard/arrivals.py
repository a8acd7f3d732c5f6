"""When the frames of a stream were heard, told from when they arrived: they carry no time.

A frame can be late, as after a loop that stood still, and most are not. So of each piece of a
stream it is known where it would have been by most of its frames; what came late in a burst goes on
into what comes after it. Frames that LiveKit makes itself, such as the silence at a track's end,
are early and few: they tell nothing.
"""

from __future__ import annotations

from collections import deque

RESYNC_SECONDS = 0.1
"""A frame that is this far from where the last one ended begins another run, as LiveKit's recorder
has it."""

_PIECE_SECONDS = 20.0
"""A run is told in pieces of this length, so that a clock that drifts is followed."""
_TELLING_SECONDS = 1.0
"""What is shorter is a burst, or made by LiveKit."""
_BIN_SECONDS = 0.002
_QUANTILE = 0.25
"""So many of a piece's frames may be early, or else are as early as it gets."""


class Piece:
    """Frames that follow each other."""

    def __init__(self, anchor: float, passed: float) -> None:
        self.anchor = anchor
        """When it began by its run's first frame, in seconds since the Unix epoch."""
        self.passed = passed
        """How much of the stream came before it, in seconds."""
        self.seconds = 0.0
        self._counts: dict[int, int] = {}
        self._frames = 0

    def add(self, started: float, seconds: float) -> None:
        """Take a frame that began then, by its arrival."""
        place = round((started - self.anchor - self.seconds) / _BIN_SECONDS)
        self._counts[place] = self._counts.get(place, 0) + 1
        self._frames += 1
        self.seconds += seconds

    @property
    def origin(self) -> float:
        """When the stream began, as far as this piece tells."""
        left = self._frames * _QUANTILE
        for place in sorted(self._counts):
            left -= self._counts[place]
            if left <= 0:
                return self.anchor - self.passed + place * _BIN_SECONDS
        return self.anchor - self.passed


class Arrivals:
    """The pieces of one stream, the latest of them."""

    def __init__(self, *, most: int, resync_seconds: float = RESYNC_SECONDS) -> None:
        self.pieces: deque[Piece] = deque(maxlen=most)
        self._resync_seconds = resync_seconds
        self._passed = 0.0

    def push(self, started: float, seconds: float) -> bool:
        """Take a frame that began then, by its arrival; whether it begins another piece."""
        piece = self.pieces[-1] if self.pieces else None
        expected = started if piece is None else piece.anchor + piece.seconds
        if abs(started - expected) > self._resync_seconds:
            piece, expected = None, started
        begins = piece is None or piece.seconds >= _PIECE_SECONDS
        if piece is None or begins:
            piece = Piece(expected, self._passed)
            self.pieces.append(piece)
        piece.add(started, seconds)
        self._passed += seconds
        return begins

    def starts(self) -> list[float]:
        """When each piece began, in seconds since the Unix epoch.

        What comes later in a stream says when the stream began, too: a pause makes that later, and
        what was late makes it no earlier.
        """
        found: list[float] = []
        soon = float("inf")
        for piece in reversed(self.pieces):
            origin = piece.origin
            soon = min(soon, origin) if piece.seconds >= _TELLING_SECONDS else soon
            is_burst = piece.seconds < _TELLING_SECONDS and soon < origin
            found.append(piece.passed + (soon if is_burst else origin))
        return found[::-1]
