"""Which backends were asked for, by arguments or the environment, and what they take of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from tracing.config.backends import BackendSettings
from tracing.config.environment import Environment
from tracing.config.http.endpoints import both
from tracing.config.labels import TraceLabels
from tracing.config.langfuse import Langfuse
from tracing.config.otlp import Otlp
from tracing.config.registry import REGISTRY


class Chosen(NamedTuple):
    """The backends that were asked for: names, and settings."""

    kinds: Sequence[str | BackendSettings]
    by: str
    """The argument or variable that said so."""
    in_code: bool
    """Whether code named them; what the environment names may be wrong for the code's arguments,
    which are right where it has other variables."""

    @property
    def names(self) -> list[str]:
        """The backends that are given by name, for which arguments are."""
        return [one for one in self.kinds if isinstance(one, str)]

    def takers(self, argument: str) -> list[str]:
        """The backends given by name that have a field for an argument."""
        return [name for name in self.names if argument in field_names(REGISTRY[name]())]


def choose(backend: object, given: Mapping[str, Any], env: Environment) -> Chosen:
    """What was asked for, each once; what is none, or is given for several, is a problem."""
    wanted, by = _wanted(backend, given, env)
    words = [one.strip().lower() if isinstance(one, str) else one for one in wanted]
    each = [one for n, one in enumerate(words) if not isinstance(one, str) or one not in words[:n]]
    unknown = [one for one in each if not _is_backend(one)]
    if unknown or not each:
        # Of what is no text only the type is shown: it may hold a secret.
        shown = [repr(one) if isinstance(one, str) else type(one).__name__ for one in unknown]
        what = ", ".join(shown) or "an empty list"
        accepted = ", ".join(map(repr, REGISTRY))
        env.problems.append(f"backend is {what}: give one of {accepted}, or a list of them")
    in_code = by.endswith("=")
    chosen = Chosen([one for one in each if one not in unknown], by, in_code)
    for name in _FOR_ONE & given.keys():
        if len(takers := chosen.takers(name)) > 1:
            env.problems.append(
                f"{name}= could be for {' or '.join(takers)}: put it into the settings of one, "
                f"such as {_EXAMPLES[takers[0]]}({name}=...)"
            )
    return chosen


_IMPLIED = {
    "public_key": "langfuse",
    "secret_key": "langfuse",
    "base_url": "langfuse",
    "endpoint": "otlp",
}
"""By argument: the backend that it names where none is named."""

_FOR_ONE = {"headers", "certificate"}
"""Arguments that are one server's: credentials go nowhere else."""

_EXAMPLES = {"langfuse": "Langfuse", "otlp": "Otlp"}


def _wanted(
    backend: object, given: Mapping[str, Any], env: Environment
) -> tuple[Sequence[Any], str]:
    """The backends as they were named, and what named them."""
    if backend is not None:
        is_list = isinstance(backend, Iterable) and not isinstance(backend, str)
        return list(backend) if is_list else [backend], "backend="  # type: ignore[call-overload]
    implied = {kind: name for name, kind in reversed(_IMPLIED.items()) if name in given}
    names = [name.strip().lower() for name in env.text("TRACING_BACKEND").split(",")]
    if implied and not implied.keys() <= set(names):
        return sorted(implied), ", ".join(f"{implied[kind]}=" for kind in sorted(implied))
    if names != [""]:
        return names, "TRACING_BACKEND"
    if env.peek("LANGFUSE_PUBLIC_KEY") or env.peek("LANGFUSE_SECRET_KEY"):
        return ["langfuse"], env.named("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    if env.peek(endpoint := env.named(*both("ENDPOINT"))):
        return ["otlp"], endpoint
    return ["local"], "no Langfuse keys and no OTLP endpoint are set"


def field_names(settings: Any) -> set[str]:
    """What settings of a backend can be given."""
    return {field.name for field in fields(settings)}


def unclaimed(chosen: Chosen, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that no backend given by name has a field for."""
    return {name: value for name, value in given.items() if not chosen.takers(name)}


def unused_arguments(
    chosen: Chosen,
    given: Mapping[str, Any],
    backends: Mapping[str, BackendSettings],
    *,
    has_metrics: bool,
) -> list[str]:
    """The arguments that nothing in force uses."""
    found = unclaimed(chosen, given)
    if has_metrics and "otlp" not in chosen.names:
        found = {name: found[name] for name in found if name not in _METRICS_TAKE}
    speak_langfuse = any(
        isinstance(one, Langfuse) or (isinstance(one, Otlp) and one.dialect == "langfuse")
        for one in backends.values()
    )
    if backends and not speak_langfuse:  # the environment is on the resource too
        labels = field_names(TraceLabels()) - {"environment"}
        found |= {name: given[name] for name in labels & given.keys()}
    return [name for name in given if name in found and given[name] not in ([], (), {})]


_METRICS_TAKE = {"endpoint", "headers", "certificate"}


def told_unused(unused: Sequence[str], chosen: Chosen) -> str:
    names = ", ".join(f"{name}=" for name in unused)
    if len(chosen.names) < len(chosen.kinds):
        return (
            f"{names} goes with a backend that is given by name: "
            "put it into the settings of the backend"
        )
    backends = " and ".join(chosen.names) or "nothing"
    return f"{names} is not used by {backends}: leave it out, or choose a backend that takes it"


def _is_backend(wanted: object) -> bool:
    if isinstance(wanted, str):
        return wanted in REGISTRY
    is_settings = hasattr(wanted, "resolve") and hasattr(wanted, "backends")
    return is_settings and not isinstance(wanted, type)
