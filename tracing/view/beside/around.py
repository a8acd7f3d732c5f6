"""What a viewer knows around its calls: where recordings are, and who else shows these calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Around(NamedTuple):
    """What stands around calls; by default nothing."""

    directory: Path | None = None
    """Where the store is, and beside it the recordings; None for files."""
    addresses: Mapping[str, str] = {}
    """By name: an address elsewhere, with `{trace_id}`."""

    def links(self, trace_id: str) -> list[dict[str, str]]:
        """`name` and `url` of a call elsewhere."""
        return [
            {"name": name, "url": address.replace("{trace_id}", trace_id)}
            for name, address in self.addresses.items()
        ]


NOTHING = Around()
