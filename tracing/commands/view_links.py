"""Where the viewer's calls are shown elsewhere: addresses with the place of the trace's id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from tracing.config.dotenv_files import process_environ
from tracing.config.environment import VIEW_LINKS, Environment
from tracing.config.langfuse import read_base_url
from tracing.config.settings import ConfigError

PLACE = "{trace_id}"
_EXAMPLE = "Jaeger=http://127.0.0.1:16686/trace/{trace_id}"


def view_links(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """By name, the addresses of TRACING_VIEW_LINKS; without it that of Langfuse, where one is set.

    A comma in an address is written %2C. Raises ConfigError, which lists every problem.
    """
    env = Environment(process_environ() if environ is None else environ)
    given = env.text(VIEW_LINKS)
    if not given:
        return dict(_langfuse(env))
    found = dict(_read(given, env))
    if env.problems:
        raise ConfigError(env.problems)
    return found


def _read(given: str, env: Environment) -> Iterator[tuple[str, str]]:
    for entry in filter(None, map(str.strip, given.split(","))):
        name, _, address = (part.strip() for part in entry.partition("="))
        if name and PLACE in address and is_web(address):
            yield name, address
        else:
            env.problems.append(
                f"{VIEW_LINKS} holds {name!r} with no http or https address that has "
                f"{PLACE} in it: give NAME=ADDRESS, such as {_EXAMPLE}"
            )


def is_web(address: str) -> bool:
    """Whether a browser opens it as a page, and runs nothing."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and address.isprintable()


def _langfuse(env: Environment) -> Iterator[tuple[str, str]]:
    """Langfuse leads from this address to the project that has the trace."""
    if env.peek("LANGFUSE_PUBLIC_KEY") or env.text("LANGFUSE_BASE_URL", "LANGFUSE_HOST"):
        base_url, _ = read_base_url("", env)
        if is_web(base_url):
            yield "Langfuse", f"{base_url}/trace/{PLACE}"
