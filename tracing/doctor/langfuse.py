"""A Langfuse project: reached, healthy, ours by its keys, and a test trace read back from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from tracing.config.langfuse import OTLP_PATH, Langfuse
from tracing.deliver.senders.http import Answer, Verdict, refusal, verdict_of
from tracing.deliver.senders.sender import Unavailable
from tracing.doctor.findings import Finding, mend, ok, unknown
from tracing.doctor.langfuse_api import Api
from tracing.doctor.langfuse_trace import look_at_test_trace
from tracing.doctor.reach import STEP_SECONDS, Place, look_at_clock, look_at_name, no_answer
from tracing.doctor.time_left import TimeLeft, all_at_once

REGIONS: Mapping[str, str] = {
    "EU": "https://cloud.langfuse.com",
    "US": "https://us.cloud.langfuse.com",
    "Japan": "https://jp.cloud.langfuse.com",
    "HIPAA": "https://hipaa.cloud.langfuse.com",
}
"""Langfuse Cloud: its regions share nothing, keys included."""

_OLDEST = (3, 22)
"""The first server that takes OTLP."""
_NOT_HEALTHY = 503
_WANTS_SIGN_IN = (401, 403)
"""What Langfuse itself does not answer to who asks for its health."""
_COPY = "copy both keys of one pair from Langfuse, under the project's Settings, API Keys"


def look_at_langfuse(
    langfuse: Langfuse,
    place: Place,
    time_left: TimeLeft,
    regions: Mapping[str, str] = REGIONS,
) -> Iterator[Finding]:
    """From the host's name to the trace that a person sees; what fails ends it."""
    without_address = list(look_at_name(place))
    yield from without_address
    if without_address:
        return
    api = Api(langfuse, place.backend)
    try:
        version, health = api.version(), api.latest
        yield from look_at_clock(place, health)
        yield _server(place, api.base_url, version, health)
        if not version and health.status != _NOT_HEALTHY:
            return
        project = api.project()
        if project is None:
            yield _no_project(langfuse, place, api.latest, regions)
            return
        yield ok(place.named("keys"), f"they open the project {project.name!r}")
        page = f"{api.base_url}/project/{project.id}/traces"
        yield from look_at_test_trace(place, api, page, time_left)
    except Unavailable as error:
        yield no_answer(place, error)


def _server(place: Place, base_url: str, version: str, health: Answer) -> Finding:
    """What a server says of its health and version."""
    name = place.named("server")
    if version and _is_old(version):
        how = f"upgrade it to {'.'.join(map(str, _OLDEST))} or later"
        return mend(name, f"Langfuse {version} takes no OTLP", how)
    if version:
        return ok(name, f"Langfuse {version} at {base_url}{place.asked}, healthy")
    if health.status == _NOT_HEALTHY:
        return mend(name, f"it is not healthy: {health.words}", "start its database, see its log")
    text = refusal("GET", f"{health.url}{place.asked}", health, "not as Langfuse does")
    if verdict_of(health.status) is Verdict.RETRY:
        return unknown(name, text, f"look again later; if it stays so, check {place.setting}")
    if health.status in _WANTS_SIGN_IN:
        how = f"check {place.setting}, or give what stands before the server its headers="
        return mend(name, text, how)
    return mend(name, text, f"check {place.setting}: the server's base URL, without a path")


def _no_project(
    langfuse: Langfuse, place: Place, answer: Answer, regions: Mapping[str, str]
) -> Finding:
    """Why the keys open no project, and in which region they would."""
    name = place.named("keys")
    if answer.status == 401:
        return _of_another_server(langfuse, place, regions)
    if answer.status == 403:
        return mend(name, f"they open no project: {answer.words}", _COPY)
    return unknown(name, refusal("GET", answer.url, answer), "look again later")


def _of_another_server(langfuse: Langfuse, place: Place, regions: Mapping[str, str]) -> Finding:
    """Whose keys these are. Those of one's own server are shown to no other."""
    name, here = place.named("keys"), langfuse.base_url
    if here not in regions.values():
        text = f"{urlsplit(here).netloc} does not know them"
        return mend(name, text, f"{_COPY}, or set {place.setting} to the server that they are of")
    others = {region: url for region, url in regions.items() if url != here}
    asked = all_at_once(
        "region", [partial(_opens, langfuse, place, url) for url in others.values()], STEP_SECONDS
    )
    for (region, url), opened in zip(others.items(), asked, strict=True):
        if opened is True:
            return mend(name, f"they are of the region {region}", f"set {place.setting}={url}")
    if all(opened is False for opened in asked):
        return mend(name, f"no region knows them (asked: {', '.join(regions)})", _COPY)
    silent = [r for r, opened in zip(others, asked, strict=True) if opened is not False]
    text = f"this region does not know them, and of others no answer came ({', '.join(silent)})"
    return mend(name, text, f"{_COPY}, and set {place.setting} to its region")


def _opens(langfuse: Langfuse, place: Place, url: str) -> bool:
    """Whether the keys open a project there; raises Unavailable where nobody answers."""
    backend = replace(place.backend, url=f"{url}{OTLP_PATH}/v1/traces")
    api = Api(replace(langfuse, base_url=url), backend)
    if api.project() is not None:
        return True
    if api.latest.status in (401, 403):
        return False
    raise Unavailable(refusal("GET", api.latest.url, api.latest))


def _is_old(version: str) -> bool:
    parts = version.lstrip("v").split(".")[:2]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) < _OLDEST
