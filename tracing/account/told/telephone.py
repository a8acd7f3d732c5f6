"""A telephone call by what LiveKit copies of its SIP participant onto `agent_session`."""

from __future__ import annotations

from tracing import names, stamps
from tracing.span import Attributes, AttributeValue

_FIELDS = {
    f"{names.SIP}callID": "call_id",
    f"{names.SIP}callIDFull": "provider_call_id",
    f"{names.SIP}callStatus": "status",
    f"{names.SIP}trunkID": "trunk_id",
    f"{names.SIP}ruleID": "rule_id",
    f"{names.SIP}trunkPhoneNumber": "trunk_number",
    f"{names.SIP}hostname": "host",
    names.SIP_PHONE_NUMBER: "number",
}
_INBOUND_ONLY = f"{names.SIP}ruleID"
"""The dispatch rule, which only calls from outside go by."""


def of_telephone(attributes: Attributes) -> dict[str, AttributeValue]:
    """The stamps of a session whose caller is at a telephone; none for any other.

    Where content is withheld, what is technical is left.
    """
    found = {
        f"{stamps.CALL_SIP}{field}": told
        for key, field in _FIELDS.items()
        if (told := names.text(attributes, key))
    }
    if not found:
        return {}
    is_inbound = bool(names.text(attributes, _INBOUND_ONLY))
    return {**found, stamps.CALL_SIP_DIRECTION: "inbound" if is_inbound else "outbound"}
