"""The facts at the head of a call's page, and what the call ran with, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracing.account.summary import percentile

_SHARED_WITHHELD = (
    "Content withheld.",
    "Nothing that anybody said, nobody's name, no argument or result of a tool and no recording is"
    " in this file; times, counts and models are. Grey lines stand for text, all of one length.",
)
_RECORDED_WITHHELD = (
    "Content withheld.",
    "The agent recorded no word of this call; times, counts and models are here.",
)
_REALTIME = (
    "Realtime model.",
    "It hears and speaks by itself: no lanes of STT and TTS, and a wait in two parts of its own,"
    " model start and 1st audio. Where the model decides when the caller has ended, what that took"
    " cannot be seen, so that these numbers look better than they sound.",
)
_TEXT = (
    "Text session.",
    "Nobody spoke, so that no latency counts from a last word. A bar is a turn's first text, from"
    " the turn's start.",
)


def remarks(row: Mapping[str, Any], *, withheld: bool) -> Iterator[tuple[str, str]]:
    """What a reader has to know of a call of this kind before its numbers: title and sentence."""
    if withheld:
        yield _SHARED_WITHHELD
    elif row.get("is_withheld"):
        yield _RECORDED_WITHHELD
    if row.get("is_realtime"):
        yield _REALTIME
    if row.get("is_text"):
        yield _TEXT


def head_facts(call: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The facts at the head: `term`, `value`, `more` and `tone`."""
    latency = row.get("latency") or {}
    replies = latency.get("count", 0)
    yield _fact("Turns", str(row["turns"]), f"{replies} with a latency" if replies else "")
    if row.get("is_text"):
        yield from _first_texts(row)
    if replies:
        yield _fact("p50", f"{latency['p50_seconds']:.2f} s")
        is_over = latency["p95_seconds"] > row["budget_seconds"]
        yield _fact(
            "p95",
            f"{'! ' if is_over else ''}{latency['p95_seconds']:.2f} s",
            f"budget {row['budget_seconds']:g} s",
            "bad" if is_over else "",
        )
        yield _fact("Within", f"{latency['within_budget_share']:.0%}")
    if row.get("heard_turns") and not row.get("is_text"):
        yield _fact("Barge-ins", str(row.get("barge_ins", 0)), f"of {row['heard_turns']} heard")
    if row.get("tool_calls"):
        failed = row.get("tool_failures", 0)
        yield _fact(
            "Tools", str(row["tool_calls"]), f"{failed} failed" if failed else "", more_tone="bad"
        )
    yield from _heard(call)
    yield from _tokens(call)


def _fact(
    term: str, value: str, more: str = "", tone: str = "", more_tone: str = ""
) -> dict[str, Any]:
    return {"term": term, "value": value, "more": more, "tone": tone, "more_tone": more_tone}


def _first_texts(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    firsts = sorted(turn["first_output"] for turn in row["strip"] if "first_output" in turn)
    for name, share in (("p50", 0.5), ("p95", 0.95)) if firsts else ():
        yield _fact(f"First text, {name}", f"{percentile(firsts, share):.2f} s")


def _heard(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = [t["transcript_confidence"] for t in call["turns"] if "transcript_confidence" in t]
    corrected = sum(bool(turn.get("transcript_corrections")) for turn in call["turns"])
    if known:
        more = f"confidence, {corrected} corrected" if corrected else "confidence"
        yield _fact("STT", f"{sum(known) / len(known):.2f}", more)


def _tokens(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    used = [u for u in call.get("summary", {}).get("usage", ()) if u.get("type") == "llm_usage"]
    read, cached, written = (
        sum(int(u.get(key, 0)) for u in used)
        for key in ("input_tokens", "input_cached_tokens", "output_tokens")
    )
    if read or written:
        yield _fact("Tokens", f"{read:,} in · {written:,} out", f"{cached:,} cached")


_STAGES = (
    ("llm_usage", "LLM"),
    ("realtime_usage", "Model"),
    ("stt_usage", "STT"),
    ("tts_usage", "TTS"),
)


def setting(call: Mapping[str, Any], livekit: str) -> Iterator[str]:
    """What the call ran with: models, options, LiveKit's version; what is unknown is left out."""
    summary = call.get("summary", {})
    for kind, word in _STAGES:
        for used in summary.get("usage", ()):
            if used.get("type") == kind and used.get("model"):
                yield f"{word} {used['model']}{_made(used)}"
    yield from _options(summary.get("options", {}))
    if livekit:
        yield f"livekit-agents {livekit}"


def _made(used: Mapping[str, Any]) -> str:
    """What a voice made."""
    if used.get("type") != "tts_usage" or not used.get("characters_count"):
        return ""
    seconds = used.get("audio_duration")
    made = f", {seconds:.1f} s made" if isinstance(seconds, (int, float)) and seconds else ""
    return f" ({used['characters_count']:,} characters{made})"


def _options(options: Mapping[str, Any]) -> Iterator[str]:
    if vad := options.get("vad_model"):
        yield f"VAD {vad}"
    if detector := options.get("turn_detection"):
        yield f"turn detection {detector}"
    early = options.get("preemptive_generation.enabled")
    if early is not None:
        yield f"preemptive generation {'on' if early else 'off'}"
    if mode := options.get("endpointing.mode"):
        least, most = (options.get(f"endpointing.{end}_delay") for end in ("min", "max"))
        span = f", {least:g} to {most:g} s" if _are_numbers(least, most) else ""
        yield f"endpointing {mode}{span}"
    yield from _interruption(options)


def _interruption(options: Mapping[str, Any]) -> Iterator[str]:
    if options.get("interruption.enabled") is False:
        yield "interruptions off"
    elif mode := options.get("interruption.mode"):
        least = options.get("interruption.min_duration")
        by = {"vad": "VAD"}.get(str(mode), mode)
        yield f"interruptions by {by}{f', from {least:g} s' if _are_numbers(least) else ''}"


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
