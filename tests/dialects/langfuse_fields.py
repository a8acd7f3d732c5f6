"""How a Langfuse server reads one field of an observation from a span: a function for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from tracing.span import Span

Server = Literal["v4", "v4_with_pii", "legacy"]
V4: Server = "v4"
V4_WITH_PII: Server = "v4_with_pii"
"""A newer one, which also reads LiveKit's `lk.pii.*`."""
LEGACY: Server = "legacy"

PRICES: dict[str, dict[str, float]] = {
    "gpt-4o": {"input": 2.5e-6, "input_cached_tokens": 1.25e-6, "output": 1e-5},
    "gpt-4o-mini": {"input": 1.5e-7, "input_cached_tokens": 7.5e-8, "output": 6e-7},
    "gpt-5": {
        "input": 1.25e-6,
        "input_cached_tokens": 1.25e-7,
        "output": 1e-5,
        "output_reasoning_tokens": 1e-5,
        "reasoning_tokens": 1e-5,
    },
    "claude-sonnet-4-5": {
        "input": 3e-6,
        "output": 1.5e-5,
        "input_cache_creation": 3.75e-6,
        "input_cached_tokens": 3e-7,
        "input_cache_read": 3e-7,
    },
    "gemini-2.5-flash": {
        "input": 3e-7,
        "input_cached_tokens": 3e-8,
        "output": 2.5e-6,
        "output_reasoning": 2.5e-6,
        "input_audio_tokens": 1e-6,
    },
    "gpt-4o-realtime-preview": {
        "input_text_tokens": 5e-6,
        "input_cached_text_tokens": 2.5e-6,
        "output_text_tokens": 2e-5,
        "input_audio_tokens": 1e-4,
        "input_cached_audio_tokens": 2e-5,
        "output_audio_tokens": 2e-4,
    },
}
TYPES = (
    *("span", "generation", "event", "embedding", "agent"),
    *("tool", "chain", "retriever", "guardrail", "evaluator"),
)
DEBUG_NAMES = frozenset(
    {
        *("user_speaking", "eou_detection", "llm_request_run", "llm_fallback_adapter"),
        *("tts_node", "tts_request", "tts_request_run", "tts_stream_adapter"),
        *("tts_fallback_adapter", "agent_speaking", "drain_agent_activity"),
        *("on_exit", "on_enter", "start_agent_activity"),
    }
)
LEVELS = {"info": "DEFAULT", "warn": "WARNING", "fatal": "ERROR", "critical": "ERROR"}
LEVELS |= {level.lower(): level for level in ("DEBUG", "DEFAULT", "WARNING", "ERROR")}


def environment(span: Span) -> str:
    """The environment of an observation; what Langfuse does not take becomes "default"."""
    keys = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
    for key in keys:
        found = span.attributes.get(key) or span.resource.get(key)
        if found:
            name = re.sub("^langfuse", "", str(found).lower())[:40]
            return name if re.fullmatch("[a-z0-9_-]+", name) else "default"
    return "default"


def observation_type(span: Span) -> str:
    """The first rule that knows the span's type."""
    attributes = span.attributes
    explicit = attributes.get("langfuse.observation.type")
    if explicit in TYPES:
        return str(explicit)
    operations = dict.fromkeys(
        ("chat", "completion", "text_completion", "generate_content", "generate"), "generation"
    )
    operations |= {
        "embeddings": "embedding",
        "invoke_agent": "agent",
        "create_agent": "agent",
        "execute_tool": "tool",
    }
    operation = attributes.get("gen_ai.operation.name")
    if operation in operations:
        return operations[str(operation)]
    if attributes.get("gen_ai.tool.name") or attributes.get("gen_ai.tool.call.id"):
        return "tool"
    if span.scope_name == "livekit-agents":
        named = {"agent_turn": "agent", "start_agent_activity": "agent", "function_tool": "tool"}
        if span.name in named:
            return named[span.name]
    return "generation" if any(attributes.get(key) for key in MODEL_KEYS) else "span"


MODEL_KEYS = (
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "model",
)


def model_of(span: Span) -> str | None:
    if span.attributes.get("gen_ai.operation.name") in ("invoke_agent", "agent_step"):
        return None
    return next((str(span.attributes[key]) for key in MODEL_KEYS if span.attributes.get(key)), None)


def name_of(span: Span) -> str:
    return str(span.attributes.get("gen_ai.tool.name") or span.name)


def level_of(span: Span) -> str:
    given = str(span.attributes.get("langfuse.observation.level", "")).lower()
    if given in LEVELS:
        return LEVELS[given]
    if span.status_code == 2:
        return "ERROR"
    is_plumbing = span.scope_name == "livekit-agents" and span.name in DEBUG_NAMES
    return "DEBUG" if is_plumbing else "DEFAULT"


def sides(span: Span, server: Server = V4) -> tuple[Any, Any]:
    """Input and output: the first source in which either is present gives both."""
    a = span.attributes
    sources: list[tuple[Any, Any]] = [
        (a.get("langfuse.observation.input"), a.get("langfuse.observation.output"))
    ]
    sources.append(_event_sides(span))
    sources.append((a.get("input.value"), a.get("output.value")))
    sources.append(_livekit_sides(span, "lk.pii." if server == V4_WITH_PII else "lk."))
    messages = a.get("gen_ai.input.messages")
    if messages and a.get("gen_ai.system_instructions"):
        system = {"role": "system", "parts": json.loads(str(a["gen_ai.system_instructions"]))}
        messages = json.dumps([system, *json.loads(str(messages))])
    sources.append((messages, a.get("gen_ai.output.messages")))
    sources.append((a.get("gen_ai.tool.call.arguments"), a.get("gen_ai.tool.call.result")))
    found: tuple[Any, Any] = (None, None)
    for number, (given, made) in enumerate(sources):
        is_present = given is not None or made is not None if number == 0 else given or made
        if is_present:
            found = given, made
            break
    tools = a.get("gen_ai.tool.definitions")
    return (_with_tools(found[0], tools), found[1]) if tools else found


def _livekit_sides(span: Span, prefix: str) -> tuple[Any, Any]:
    a = span.attributes
    keys = ("input_text", "user_transcript", "chat_ctx")
    keys += ("user_input", "function_tool.arguments") if prefix == "lk.pii." else ()
    read = [a.get(prefix + key) for key in keys]
    made = a.get(f"{prefix}function_tool.output") or a.get(f"{prefix}response.text")
    return next((value for value in read if value is not None), None), made


def claimed_tools(given: Any, metadata: dict[str, str]) -> Any:
    """What the server takes out of the metadata as definitions of tools, and puts into the input.

    A key `attributes` replaces all that the span's attributes said.
    """
    if "attributes" in metadata:
        for key in [key for key in metadata if key.startswith("attributes.")]:
            del metadata[key]
    tools = metadata.pop("tools", None)
    return _with_tools(given, tools) if tools else given


def _event_sides(span: Span) -> tuple[Any, Any]:
    roles = ("system", "user", "assistant", "tool")
    given = [
        {"role": event.name.split(".")[1], **event.attributes}
        for event in span.events
        if event.name in [f"gen_ai.{role}.message" for role in roles]
    ]
    made = [dict(event.attributes) for event in span.events if event.name == "gen_ai.choice"]
    return (
        json.dumps(given) if given else None,
        json.dumps(made[0] if len(made) == 1 else made) if made else None,
    )


def _with_tools(given: Any, tools: Any) -> str:
    messages, definitions = parsed(given), parsed(tools)
    key = "messages" if isinstance(messages, list) else "prompt"
    return json.dumps({**({key: messages} if messages else {}), "tools": definitions})


def provided_usage(span: Span) -> dict[str, float]:
    """Usage as given, or as read out of `gen_ai.usage.*` and `llm.token_count.*`."""
    a = span.attributes
    if a.get("gen_ai.operation.name") in ("invoke_agent", "agent_step"):
        return {}
    explicit = a.get("langfuse.observation.usage_details")
    if isinstance(explicit, str):
        try:
            found = json.loads(explicit)
        except ValueError:
            found = None
        if found is not None:
            return _numbers(_from_openai(found)) if isinstance(found, dict) else {}
    prefixes = ("gen_ai.usage.", "llm.token_count.")
    found = ((key, prefix) for key in a for prefix in prefixes if key.startswith(prefix))
    return normalised({key.removeprefix(prefix): a[key] for key, prefix in found})


def _from_openai(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Usage as OpenAI gives it, in buckets: the details are taken out of the totals."""
    if not {"prompt_tokens", "completion_tokens", "total_tokens"} <= given.keys():
        return given
    found = {"total": given["total_tokens"]}
    for side, whole in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        details = given.get(f"{whole}_details") or {}
        found |= {f"{side}_{key}": count for key, count in details.items()}
        found[side] = max(given[whole] - sum(filter(None, details.values())), 0)
    return found


def normalised(raw: Mapping[str, Any]) -> dict[str, float]:
    """The server's own reading of `gen_ai.usage.*`."""
    rest = dict(raw)

    def take(*names: str) -> float | None:
        found = [rest.pop(name) for name in names if name in rest]
        return found[0] if found else None

    sent = take("prompt_tokens", "input_tokens", "prompt")
    made = take("completion_tokens", "output_tokens", "completion")
    read = take(
        *("cache_read.input_tokens", "cache_read_input_tokens", "input_cached_tokens"),
        "prompt_details.cache_read",
    )
    written = take("cache_creation.input_tokens", "cache_creation_input_tokens")
    reasoning = take("reasoning.output_tokens", "completion_details.reasoning")
    buckets: dict[str, Any] = {}
    if sent is not None:
        buckets["input"] = sent - (read or 0) - (written or 0)
    if made is not None:
        buckets["output"] = made - (reasoning or 0)
    buckets |= {"input_cached_tokens": read, "input_cache_creation": written}
    buckets |= {"output_reasoning_tokens": reasoning, "total": take("total_tokens", "total")}
    return _numbers({**buckets, **rest})


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    kept: dict[str, float] = {}
    for key, value in found.items():
        if value is None or isinstance(value, bool):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if number >= 0:
            kept[key] = int(number) if number == int(number) else number
    return kept


def provided_cost(span: Span) -> dict[str, float]:
    if span.attributes.get("gen_ai.operation.name") in ("invoke_agent", "agent_step"):
        return {}
    explicit = span.attributes.get("langfuse.observation.cost_details")
    return _numbers(json.loads(str(explicit))) if explicit else {}


def usage_of(
    provided: Mapping[str, float],
    model: str | None,
    given: Any,
    made: Any,
    level: str,
    server: Server,
    is_priced_already: bool,
) -> dict[str, float]:
    """What was used: as provided with its total, or counted by the server's tokenizer."""
    if provided:
        assert all(isinstance(count, int) for count in provided.values()), "UInt64 columns"
        return {"total": sum(provided.values()), **provided}
    failed = level == "ERROR" and server == LEGACY
    if prices_of(model) and (given or made) and not failed and not is_priced_already:
        counted = {"input": len(str(given or "")) // 4, "output": len(str(made or "")) // 4}
        return {**counted, "total": sum(counted.values())}
    return {}


def prices_of(model: str | None) -> dict[str, float]:
    return PRICES.get(re.sub("^(openai|anthropic|google)/", "", model or ""), {})


def cost_of(
    provided: Mapping[str, float], used: Mapping[str, float], model: str | None
) -> dict[str, float]:
    """Provided cost goes before any price; a bucket without a price costs nothing."""
    if provided:
        if "total" in provided or set(provided) - {"input", "output"}:
            return dict(provided)
        return {**provided, "total": sum(provided.values())}
    prices = prices_of(model)
    costs = {key: round(count * prices[key], 12) for key, count in used.items() if key in prices}
    return {**costs, "total": round(sum(costs.values()), 12)} if costs else {}


def completion_start(span: Span) -> datetime | None:
    given = span.attributes.get("langfuse.observation.completion_start_time")
    return datetime.fromisoformat(str(given).strip('"')) if given else None


METADATA = ("langfuse.observation.metadata", "langfuse.trace.metadata", "langfuse.metadata")
_CONSUMED_PREFIXES = (
    *METADATA,
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
)
_CONSUMED = ("lk.input_text", "lk.user_transcript", "lk.chat_ctx", "lk.function_tool.output")
_CONSUMED += ("lk.response.text", "lk.user_input", "gen_ai.tool.definitions")
_CONSUMED += ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
_CONSUMED += ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result")


def metadata_of(span: Span) -> dict[str, str]:
    """Top-level keys, and every attribute that is not consumed under `attributes.`."""
    found = {
        "attributes." + key: str(value)
        for key, value in span.attributes.items()
        if not key.startswith(_CONSUMED_PREFIXES) and key not in _CONSUMED
    }
    for prefix in METADATA:
        found |= _flat("", parsed(span.attributes.get(prefix)))
        for key, value in span.attributes.items():
            if key.startswith(f"{prefix}."):
                found[key.removeprefix(f"{prefix}.")] = str(value)
    return found


def _flat(name: str, value: Any) -> dict[str, str]:
    """Nested metadata under dotted names, and texts."""
    if not isinstance(value, dict):
        return {name: str(value)} if name else {}
    inner = [_flat(f"{name}.{key}".lstrip("."), item) for key, item in value.items()]
    return {key: text for one in inner for key, text in one.items()}


def claimed_of(span: Span) -> set[str]:
    """The keys of a span's metadata that are the server's own."""
    return {key for key in metadata_of(span) if key in ("tools", "attributes")}


def parsed(value: Any) -> Any:
    """A JSON string as its value, as the page shows it; everything else as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
