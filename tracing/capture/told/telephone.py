"""What only a room's events tell of a telephone call: keys, its status, why it was hung up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livekit import rtc
from opentelemetry import trace

from tracing import names, stamps
from tracing.span import AttributeValue

_STATUS = "sip.callStatus"
_SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP

Handler = Callable[..., None]


class Telephone:
    """Listens to a job's room, for one session: its span gets events, and it what they tell."""

    def __init__(
        self,
        room: Any,
        span: Callable[[], trace.Span],
        tell: Callable[[str, AttributeValue], None],
        guarded: Callable[[Handler], Handler],
    ) -> None:
        self._room = room
        self._span = span
        self._tell = tell
        self._handlers: dict[str, Handler] = {
            "sip_dtmf_received": guarded(self._on_key),
            "participant_attributes_changed": guarded(self._on_attributes),
            "participant_disconnected": guarded(self._on_disconnected),
        }

    def listen(self) -> None:
        """Subscribe to the room's events."""
        for event, handler in self._handlers.items():
            self._room.on(event, handler)

    def leave(self) -> None:
        """Leave the room alone, which may serve other sessions."""
        for event, handler in self._handlers.items():
            self._room.off(event, handler)

    def _on_key(self, key: Any) -> None:
        self._span().add_event(names.EVENT_DTMF, {names.DTMF_DIGIT: key.digit})

    def _on_attributes(self, changed: dict[str, str], participant: Any) -> None:
        if participant.kind == _SIP and (status := changed.get(_STATUS)):
            self._span().add_event(names.EVENT_SIP_STATUS, {names.SIP_STATUS: status})
            self._tell(f"{stamps.CALL_SIP}status", status)

    def _on_disconnected(self, participant: Any) -> None:
        if participant.kind == _SIP and participant.disconnect_reason is not None:
            cause = rtc.DisconnectReason.Name(participant.disconnect_reason).lower()
            self._span().add_event(names.EVENT_SIP_HANG_UP, {names.DISCONNECT_REASON: cause})
            self._tell(stamps.CALL_SIP_HANG_UP_CAUSE, cause)
