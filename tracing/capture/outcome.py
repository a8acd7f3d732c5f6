"""What a job's `Tagger` says of its call, as attributes of `job_entrypoint`."""

from __future__ import annotations

import json
from typing import Any

from tracing import stamps
from tracing.span import AttributeValue


def outcome_attributes(tagger: Any, *, withhold: bool) -> dict[str, AttributeValue]:
    """Return outcome, tags and judges' verdicts; reasons and tags of one's own are content."""
    tags = [tag for tag in sorted(tagger.tags) if not withhold or tag.startswith("lk.")]
    kept = ("name", "verdict") if withhold else ("name", "verdict", "reasoning")
    judged = [{key: found.get(key) for key in kept} for found in tagger.evaluations]
    found: dict[str, AttributeValue | None] = {
        stamps.CALL_OUTCOME: tagger.outcome,
        stamps.CALL_OUTCOME_REASON: None if withhold else tagger.outcome_reason,
        stamps.CALL_TAGS: [*tags],
        stamps.CALL_EVALUATIONS: json.dumps(judged) if judged else None,
    }
    return {key: value for key, value in found.items() if value}
