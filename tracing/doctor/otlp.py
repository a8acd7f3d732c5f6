"""An OTLP endpoint: reached, at the right path, and answering an empty export as OTLP does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from tracing.config.backends import Backend
from tracing.config.langfuse import Langfuse
from tracing.deliver.senders.http import Answer, HttpClient, Verdict, refusal, verdict_of
from tracing.deliver.senders.otlp_answer import NotOtlp, read_answer
from tracing.deliver.senders.sender import Unavailable
from tracing.doctor.findings import Finding, mend, ok, unknown
from tracing.doctor.reach import STEP_SECONDS, Place, look_at_clock, look_at_name, no_answer

TRACES, METRICS = "/v1/traces", "/v1/metrics"
_NONE = b""
"""An export without anything in it: every server takes it, and nothing is stored."""


def look_at_otlp(place: Place, path: str = TRACES) -> Iterator[Finding]:
    """From the host's name to an answer in OTLP; what fails ends it. `path` is the signal's."""
    without_address = list(look_at_name(place))
    yield from without_address
    if without_address:
        return
    try:
        answer = _export_nothing(place.backend)
    except Unavailable as error:
        yield no_answer(place, error)
        return
    yield from look_at_clock(place, answer)
    yield _judged(place, answer, path)


def _judged(place: Place, answer: Answer, path: str) -> Finding:
    """What the answer says of the endpoint."""
    url, name = place.backend.url, place.named("endpoint")
    verdict = verdict_of(answer.status)
    if _is_otlp(answer):
        return ok(name, f"{url} takes OTLP{place.asked}")
    words = refusal("POST", f"{url}{place.asked}", answer, _why(answer))
    if answer.status in (401, 403):
        return mend(name, words, "check OTEL_EXPORTER_OTLP_HEADERS, or headers=")
    if verdict is Verdict.RETRY:
        return unknown(name, words, "see the server's log; spans wait meanwhile")
    right = _right_path(place, path)
    if right:
        return mend(name, f"the path of {url} is wrong, {right} takes OTLP", _how(right, path))
    version = _langfuse_version(place)
    if version:
        text = f"{url} is a Langfuse server's ({version})"
        how = "set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL instead"
        return mend(name, text, how)
    return mend(name, words, f"check {place.setting}: collectors take OTLP at :4318{path}")


def _how(right: str, path: str) -> str:
    own = f"OTEL_EXPORTER_OTLP_{path.rpartition('/')[2].upper()}_ENDPOINT"
    base = right.removesuffix(path)
    return f"set {own}={right}, or OTEL_EXPORTER_OTLP_ENDPOINT={base}, which gets {path} appended"


def _right_path(place: Place, path: str) -> str:
    """The same server's URL that does take OTLP; "" where none of those that were meant does."""
    parts = urlsplit(place.backend.url)
    once = parts.path.rstrip("/")
    while once.endswith(path):
        once = once.removesuffix(path)
    for meant in dict.fromkeys((f"{once}{path}", path)):
        url = parts._replace(path=meant).geturl()
        if url != place.backend.url and _takes_otlp(replace(place.backend, url=url)):
            return url
    return ""


def _takes_otlp(backend: Backend) -> bool:
    try:
        return _is_otlp(_export_nothing(backend))
    except Unavailable:
        return False


def _is_otlp(answer: Answer) -> bool:
    return verdict_of(answer.status) is Verdict.ACCEPTED and not _why(answer)


def _why(answer: Answer) -> str:
    """What is wrong with a yes; "" for one in OTLP, and for what is no yes."""
    try:
        if verdict_of(answer.status) is Verdict.ACCEPTED:
            read_answer(answer)
    except NotOtlp as error:
        return str(error)
    return ""


def _export_nothing(backend: Backend) -> Answer:
    headers = {"Content-Type": "application/x-protobuf", **backend.headers}
    client = HttpClient(backend, timeout_seconds=STEP_SECONDS)
    return client.request("POST", backend.url, _NONE, headers)


def _langfuse_version(place: Place) -> str:
    """The version of the Langfuse server that is at this address; "" for another server."""
    from tracing.doctor.langfuse_api import Api

    origin = urlsplit(place.backend.url)._replace(path="", query="").geturl()
    try:
        return Api(Langfuse(base_url=origin), place.backend).version()
    except Unavailable:
        return ""
