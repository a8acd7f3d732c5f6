"""The licences of all that comes with the package: `python -m tests.licences` lists them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ALLOWED = frozenset(
    {
        "0bsd",
        "cc0-1.0",
        "apache-2.0",
        "apachelicense",
        "apachelicense2.0",
        "apachelicenseversion2.0",
        "apachesoftwarelicense",
        "bsd",
        "bsdlicense",
        "bsd-2-clause",
        "bsd-3-clause",
        "3-clausebsdlicense",
        "isc",
        "isclicense",
        "mit",
        "mitlicense",
        "mit-0",
        "mpl-2.0",
        "mozillapubliclicense2.0",
        "psf-2.0",
        "pythonsoftwarefoundationlicense",
        "zlib",
    }
)
"""What may be used with a package under Apache-2.0 without a word: in lower case, without spaces,
brackets and what stands in them. MPL-2.0 binds changes to its own files alone. Of what is packed
into a wheel beside a package's own code, as FFmpeg is into PyAV's, metadata tells nothing."""


def closure(name: str) -> Iterator[Distribution]:
    """A distribution with everything that it needs here, each once."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        wanted = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if wanted in seen:
            continue
        seen.add(wanted)
        found = distribution(wanted)
        yield found
        requirements = map(Requirement, found.requires or ())
        waiting += [
            r.name for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})
        ]


def licences_of(found: Distribution) -> list[str]:
    """The licences that a distribution names: its expression, else classifiers, else a text."""
    said = found.metadata
    if expression := said.get("License-Expression"):
        return re.split(r"\s+(?:AND|OR|WITH)\s+", expression.replace("(", "").replace(")", ""))
    classifiers = [c for c in said.get_all("Classifier", []) if c.startswith("License :: OSI")]
    if classifiers:
        return [classifier.rpartition(" :: ")[2] for classifier in classifiers]
    return [(said.get("License") or "none is named").strip().splitlines()[0]]


def is_allowed(licence: str) -> bool:
    """Whether nobody needs to look at it."""
    return re.sub(r"\(.*?\)|[\s,]", "", licence).lower().removeprefix("the") in ALLOWED


def main() -> int:
    """List every package with its licences; 1 where one is not allowed, 2 where that is unknown."""
    try:
        packages = sorted(closure("livekit-tracing"), key=lambda found: found.name.lower())
    except PackageNotFoundError as error:
        sys.stderr.write(f"{error} is not installed, and may have any licence\n")
        return 2
    status = 0
    for found in packages:
        licences = licences_of(found)
        is_fine = all(map(is_allowed, licences))
        status = status if is_fine else 1
        mark = "" if is_fine else "   <- not allowed"
        sys.stdout.write(f"{found.name} {found.version}: {', '.join(licences)}{mark}\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
