"""What must hold beyond "nothing lost", by the names that rows use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .evidence import Evidence
    from .receiver import Stored

_LATE_SECONDS = 5.0
_DRAINER_MIB = 100.0
_MOST_STARTS = 7
_NEWER = b"what only version 99 can read"


def open_spans_closed(evidence: Evidence) -> list[str]:
    """The spans that were open at the death arrive too, closed as errors."""
    closed = _recovered(evidence)
    if not closed:
        return ["no open span was recovered"]
    return [
        f"{stored.span.name} was open and is not an error"
        for stored in closed
        if not stored.is_error
    ]


def one_root(evidence: Evidence) -> list[str]:
    """Every trace of the dead program hangs together under one root."""
    ours = {key for key in evidence.receiver.spans_by_id if key in evidence.ended}
    traces = {evidence.receiver.spans_by_id[key].span.trace_id for key in ours}
    return [failure for trace_id in traces for failure in _broken_tree(evidence, trace_id)]


def whole_job(evidence: Evidence) -> list[str]:
    """The end of the job is there, and the tree is one."""
    names = {stored.span.name for stored in evidence.receiver.spans_by_id.values()}
    missing = {"job_entrypoint", "job_shutdown", "agent_session"} - names
    return [f"no {name}" for name in sorted(missing)] + one_root(evidence)


def loop_never_froze(evidence: Evidence) -> list[str]:
    """The event loop of the job never stood still for long."""
    frozen = evidence.loop_frozen_seconds
    return [f"the loop stood still for {frozen:.1f} s"] if frozen > 0.2 else []


def drainer_stays_small(evidence: Evidence) -> list[str]:
    """Whatever a server answers, the drainer's memory is bounded."""
    mib = evidence.drainer_mib
    return [] if mib < _DRAINER_MIB else [f"the drainer has taken {mib:.0f} MiB"]


def one_attribute_truncated(evidence: Evidence) -> list[str]:
    """Of the span with 5 MB, one attribute was cut and says so; the others are untouched."""
    found = [
        stored.attributes
        for stored in evidence.receiver.spans_by_id.values()
        if "test.big" in stored.attributes
    ]
    if len(found) != 1:
        return [f"{len(found)} spans carry the big attribute"]
    big = found[0]["test.big"]
    failures = [] if 1_000 < len(big) < 1_500_000 else [f"it is {len(big)} characters long"]
    if "truncated" not in big[-200:]:
        failures.append("it does not say that it was truncated")
    if found[0].get("test.small") != "kept":
        failures.append("another attribute is gone")
    return failures


def rejections_counted(evidence: Evidence) -> list[str]:
    """What partial_success rejected is in the log: exact count, server's words."""
    failures = []
    if evidence.counted != len(evidence.missing):
        failures.append(f"{len(evidence.missing)} rejected, {evidence.counted} counted")
    return failures + _not_logged(evidence, "quota of this project is used up")


def server_words_logged(evidence: Evidence) -> list[str]:
    """The log shows the server's own explanation and the address."""
    return [
        *_not_logged(evidence, "unknown key: check LANGFUSE_PUBLIC_KEY"),
        *_not_logged(evidence, f"127.0.0.1:{evidence.receiver.port}"),
    ]


def most_survived(evidence: Evidence) -> list[str]:
    """What fitted on the disk was delivered."""
    arrived = len(evidence.receiver.spans_by_id)
    return [] if arrived > 1_000 else [f"only {arrived} spans arrived from a 4 MB disk"]


def newest_survived(evidence: Evidence) -> list[str]:
    """A spool that is full gives up its oldest spans, and keeps as many as it may."""
    arrived = evidence.receiver.spans_by_id.keys()
    newest = sorted(evidence.ended, key=lambda key: evidence.ended[key])[-500:]
    missing = len(set(newest) - arrived)
    return [f"{missing} of the newest 500 spans are gone"] if missing else []


def said_why(evidence: Evidence) -> list[str]:
    """Where nothing can be stored, the log or the error names the directory."""
    return _not_logged(evidence, str(evidence.spool))


def went_on(evidence: Evidence) -> list[str]:
    """Spans from long after the deletion arrived."""
    last = max(evidence.ended, key=lambda key: evidence.ended[key])
    return [] if last in evidence.receiver.spans_by_id else ["nothing came after the deletion"]


def little_lost(evidence: Evidence) -> list[str]:
    """Damage costs the damaged records, not their neighbours."""
    lost = len(evidence.missing)
    return [] if lost <= 20 else [f"{lost} spans lost to 20 damaged bytes"]


def other_backend_has_all(evidence: Evidence) -> list[str]:
    """The healthy backend got everything, each span soon after it ended."""
    assert evidence.second is not None
    stored = evidence.second.spans_by_id
    missing = len(evidence.ended.keys() - stored.keys())
    failures = [f"the healthy backend misses {missing}"] if missing else []
    delays = [
        stored[key].first_seen - end / 1e9 for key, end in evidence.ended.items() if key in stored
    ]
    if delays and max(delays) > _LATE_SECONDS:
        failures.append(f"the healthy backend waited {max(delays):.1f} s")
    return failures


def held_once(evidence: Evidence) -> list[str]:
    """A disk that hangs holds the loop once, not with each span and not again soon."""
    stalls = evidence.stalls
    return [] if len(stalls) == 1 else [f"{len(stalls)} spans were held: {stalls}"]


def held_never(evidence: Evidence) -> list[str]:
    """No span waited for the disk."""
    return [f"spans were held: {evidence.stalls}"] if evidence.stalls else []


def few_starts(evidence: Evidence) -> list[str]:
    """Drainers that are killed at once come back ever more rarely, whoever starts them."""
    kills = evidence.drainer_kills
    return [] if 2 <= kills <= _MOST_STARTS else [f"{kills} drainers were started"]


def stopped_drainer_said(evidence: Evidence) -> list[str]:
    """The log says that the drainer stood still, and that it was ended."""
    return [
        *_not_logged(evidence, "has given no sign of life for"),
        *_not_logged(evidence, "that stood still"),
    ]


def newer_version_kept(evidence: Evidence) -> list[str]:
    """What a version to come wrote is as it was, and is spoken of."""
    left = [path.read_bytes() for path in evidence.spool.rglob("*.2-bbbbbb.000001.seg")]
    failures = [] if [data[-29:] for data in left] == [_NEWER] else ["it is gone or changed"]
    return failures + _not_logged(evidence, "written by another version of this package")


def drained_in_thread(evidence: Evidence) -> list[str]:
    """The agent drained by itself and said why, once."""
    said = evidence.logs.count("draining in a thread, because no process can be started")
    return [] if said == 1 else [f"said {said} times that a thread drains"]


def refused_for_locks(evidence: Evidence) -> list[str]:
    """Set-up names the directory's lack of file locks, and the mend."""
    return _not_logged(evidence, "has no file locks") + _not_logged(evidence, "on a local disk")


def _recovered(evidence: Evidence) -> list[Stored]:
    """The spans of the dead program that no `end()` had returned for."""
    by_id = evidence.receiver.spans_by_id
    traces = {by_id[key].span.trace_id for key in evidence.ended if key in by_id}
    return [
        stored
        for key, stored in by_id.items()
        if key not in evidence.ended and stored.span.trace_id in traces
    ]


def _broken_tree(evidence: Evidence, trace_id: bytes) -> list[str]:
    by_id = evidence.receiver.spans_by_id
    spans = [stored.span for stored in by_id.values() if stored.span.trace_id == trace_id]
    roots = sorted(span.name for span in spans if not span.parent_span_id)
    orphans = sorted(
        span.name for span in spans if span.parent_span_id and span.parent_span_id not in by_id
    )
    failures = [] if len(roots) == 1 else [f"{len(roots)} roots: {roots}"]
    return failures + ([f"orphans: {orphans}"] if orphans else [])


def _not_logged(evidence: Evidence, text: str) -> list[str]:
    return [] if re.search(re.escape(text), evidence.logs) else [f"no log line with {text!r}"]


CHECKS: dict[str, Callable[[Evidence], list[str]]] = {
    check.__name__: check
    for check in (
        open_spans_closed,
        one_root,
        whole_job,
        loop_never_froze,
        drainer_stays_small,
        one_attribute_truncated,
        rejections_counted,
        server_words_logged,
        most_survived,
        newest_survived,
        said_why,
        went_on,
        little_lost,
        other_backend_has_all,
        held_once,
        held_never,
        few_starts,
        stopped_drainer_said,
        newer_version_kept,
        drained_in_thread,
        refused_for_locks,
    )
}
