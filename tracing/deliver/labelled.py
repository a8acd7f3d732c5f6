"""A backend's dialect with the labels of the agent that recorded, whoever delivers.

Environment, release, tags, prices belong to the agent that recorded a call. Its segments carry
them in their header, by backend; the settings of the drainer are those of some agent of the spool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tracing.config.backends import Backend
from tracing.deliver.senders.sender import Translate, make_translator
from tracing.limits import forget_oldest
from tracing.safe_text import get_logger

logger = get_logger(__name__)

_MAX_LABELS = 256


class LabelledDialect:
    """Makes a backend's dialect once for each agent's labels."""

    def __init__(self, backend: Backend) -> None:
        """Make it with the backend's own; raises what the dialect raises."""
        self._backend = backend
        self._own = make_translator(backend)
        self._made: dict[str, Translate] = {}

    def of(self, labels: Mapping[str, Any] | None) -> Translate:
        """The dialect for a segment whose header has these labels; None for an older one's."""
        if not self._backend.dialect:
            return self._own
        options = self._options_in(labels)
        key = json.dumps(options, sort_keys=True, default=str)
        if key not in self._made:
            self._made[key] = self._make(options)
            forget_oldest(self._made, _MAX_LABELS)
        return self._made[key]

    def _options_in(self, labels: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the recording agent said for this backend; nothing where it said nothing.

        One that knew no `detail` stamped no span with what is shown above it: none is left out.
        """
        own = self._backend.dialect_options
        before = {"detail": "full"} if "detail" in own else {}
        if labels is None:
            return {**own, **before}
        said = labels.get(self._backend.name)
        if not isinstance(said, dict) or said.get("dialect") != self._backend.dialect:
            return {}
        options = said.get("options")
        return {**before, **options} if isinstance(options, dict) else {}

    def _make(self, options: dict[str, Any]) -> Translate:
        for chosen in (options, {}):
            try:
                return make_translator(replace(self._backend, dialect_options=chosen))
            except Exception:
                logger.warning("%s cannot have these labels", self._backend.name, exc_info=True)
        return self._own
