"""The versions of what a trace depends on, and what is known of each."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from tracing.doctor.findings import Finding, mend, note, ok, unknown

_OURS = "livekit-tracing"
_SHOWN = (
    "livekit-agents",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "langfuse",
)

_KNOWN: Mapping[str, Mapping[str, str]] = {
    "livekit-agents": {
        "1.8": "the version that every test runs",
        "1.7": "recorded sessions are tested; set-up in the entrypoint closes the root as an error",
        "1.6": "recorded sessions are tested; set-up in the entrypoint closes the root as an error",
        "1.5": "recorded sessions are tested; it does not tell how long a reply queued",
    },
    "opentelemetry-sdk": {
        "1.45": "the version that every test runs",
        "1.39": "the lowest version, which most tests run",
    },
    "opentelemetry-exporter-otlp-proto-http": {
        "1.45": "carries metrics; spans go without it",
        "1.39": "carries metrics; spans go without it",
    },
    "langfuse": {
        "5.0": "asks Langfuse's API for this doctor; spans go without it",
        "4": "asks Langfuse's API for this doctor; spans go without it",
    },
}
"""By package, by how its version begins."""


def look_at_versions() -> Iterator[Finding]:
    """Python and each package, against what this one and the others admit."""
    try:
        yield ok(_OURS, f"{version(_OURS)} on Python {platform.python_version()}")
    except PackageNotFoundError:
        how = "install it, so that its bounds are known"
        yield unknown(_OURS, "it is run without being installed", how)
    for package in _SHOWN:
        yield _look_at(package)


def _look_at(package: str) -> Finding:
    wanted = dict(_wanted(package))
    try:
        found = Version(version(package))
    except PackageNotFoundError:
        return mend(package, "it is not installed", f"pip install '{wanted.get(_OURS, package)}'")
    except InvalidVersion:
        return unknown(package, "its version is none of Python's")
    for owner, requirement in wanted.items():
        if not requirement.specifier.contains(found, prereleases=True):
            text = f"{found} is outside of what {owner} admits ({requirement.specifier})"
            return mend(package, text, f"pip install '{requirement}'")
    known = _KNOWN[package]
    said = next((text for begin, text in known.items() if _begins(str(found), begin)), "")
    return ok(package, f"{found}, {said}") if said else note(package, _untried(str(found), known))


def _wanted(package: str) -> Iterator[tuple[str, Requirement]]:
    """Who of us and of what we stand on admits which versions of a package."""
    for owner in (_OURS, *_SHOWN):
        try:
            found = [Requirement(line) for line in requires(owner) or ()]
        except PackageNotFoundError:
            continue
        for one in found:
            if one.name == package and (one.marker is None or one.marker.evaluate()):
                yield owner, one


def _untried(found: str, known: Mapping[str, str]) -> str:
    return f"{found} is admitted and has not been tried; tried: {', '.join(known)}"


def _begins(found: str, begin: str) -> bool:
    return f"{found}.".startswith(f"{begin}.")
