"""Who was at the other end of a call, in words: on the telephone a number says more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def caller_of(call: Mapping[str, Any]) -> str:
    """The caller of a described call: `ann · +1 555 0100, inbound`; "" where nobody is known.

    The identity that LiveKit makes of a number is left out where the number is there.
    """
    user, told = str(call.get("user_id") or ""), call.get("summary", {}).get("sip")
    sip = told if isinstance(told, Mapping) else {}
    number = str(sip.get("number") or "")
    if number and number in user:
        user = ""
    at = ", ".join(str(part) for part in (number, sip.get("direction")) if part)
    return " · ".join(part for part in (user, at) if part)
