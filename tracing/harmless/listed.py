"""The names that are known to be harmless, of attributes, spans and events; of content, some.

A name is here if its values come from code, from a model's or a provider's catalogue, or are ids
that LiveKit or a provider made. Room, caller, session and user, trunk and phone numbers, reasons,
tags, addresses with a path or a query, statements and arguments are not.
"""

from __future__ import annotations

from tracing import names, stamps

_LIVEKIT = frozenset(
    f"lk.{name}"
    for name in (
        # who and where: ids that LiveKit makes, names that code gives
        *("job_id", "agent_name", "cloud_agent_id", "deployment_id", "room_sid", "dispatch_id"),
        *("job.worker_id", "job.agent_id", "agent_label", "previous_agent_label", "callback.name"),
        *("participant_id", "participant_kind", "track_sid", "track_source", "rpc.request_id"),
        *("simulation.run_id", "simulation.job_id", "provider_request_ids"),
        # a turn and its steps
        *("speech_id", "generation_id", "parent_generation_id", "input.base_span_id"),
        *("function_tool.id", "function_tool.name", "function_tools", "provider_tools"),
        *("tool_sets", "tts.label", "fallback.label", "llm_metrics", "tts_metrics"),
        *("realtime_model_metrics", "stt.events", "eou.language", "eou.source", "eou.outcome"),
        *("interruption.source", "is_interruption", "amd.category"),
        *("sip.callStatus", "sip.trunkID", "sip.ruleID"),
        # states and reasons of a closed set
        *("connection_state", "disconnect_reason", "old_state", "new_state", "close_reason"),
        *("blocking.severity", "blocking.stack", "blocking.import"),
    )
)
_GEN_AI = frozenset(
    f"gen_ai.{name}"
    for name in (
        *("operation.name", "provider.name", "system", "request.model", "response.model"),
        *("response.id", "response.finish_reasons", "output.type", "token.type", "agent.name"),
        *("agent.id", "workflow.name", "tool.name", "tool.call.id", "tool.type"),
        *("evaluation.name", "evaluation.score.label"),
    )
)
_OPENTELEMETRY = frozenset(
    {
        *("error.type", "exception.type", "exception.escaped", "otel.status_code"),
        *("code.function", "code.function.name", "code.namespace", "code.filepath"),
        *("code.file.path", "http.request.method", "http.method", "http.route", "url.scheme"),
        *("http.scheme", "http.flavor", "network.protocol.name", "network.protocol.version"),
        *("network.transport", "network.type", "server.address", "net.peer.name", "server.port"),
        *("http.response.status_code", "http.status_code", "rpc.grpc.status_code"),
        *("db.system", "db.system.name", "db.operation", "db.operation.name", "db.name"),
        *("db.namespace", "db.collection.name", "db.sql.table", "rpc.system", "rpc.system.name"),
        *("rpc.service", "rpc.method", "messaging.system", "messaging.operation"),
        *("messaging.operation.name", "messaging.operation.type"),
    }
)
_OTHERS = frozenset(
    {
        # Langfuse's SDK
        *("langfuse.observation.type", "langfuse.observation.level", "langfuse.environment"),
        *("langfuse.observation.model.name", "langfuse.observation.usage_details"),
        *("langfuse.observation.cost_details", "langfuse.observation.completion_start_time"),
        *("langfuse.observation.prompt.name", "langfuse.release", "langfuse.version"),
        # OpenInference
        *("openinference.span.kind", "llm.model_name", "llm.provider", "llm.system"),
        *("input.mime_type", "output.mime_type", "embedding.model_name", "reranker.model_name"),
        "tool.name",
        # OpenLLMetry
        *("traceloop.span.kind", "traceloop.workflow.name", "traceloop.entity.name"),
        *("traceloop.entity.path", "llm.request.type"),
        # Logfire, AI SDK, MLflow
        *("logfire.span_type", "ai.operationId", "ai.model.id", "ai.model.provider"),
        *("ai.response.finishReason", "ai.response.model", "ai.toolCall.id", "ai.toolCall.name"),
        *("mlflow.spanType", "mlflow.chat.tokenUsage"),
    }
)
_OURS = frozenset(
    {
        *(stamps.FIRST_AGENT, stamps.TURN_KIND, stamps.TURN_HEARD_REASON, stamps.PROMPT_NAME),
        *(stamps.CALL_CLOSE_REASON, stamps.CALL_REPORT, stamps.CALL_USAGE),
        *(stamps.CALL_CONTINUED_IN, stamps.SHOWN_PARENT, stamps.ROOT_SUMMARY + "close_reason"),
        *(
            f"{prefix}sip.{field}"
            for prefix in (stamps.CALL, stamps.ROOT_SUMMARY)
            for field in ("direction", "status", "hang_up_cause", "trunk_id", "rule_id")
        ),
        *(stamps.INFERENCE_PARENT, stamps.RECOVERED_REASON, stamps.RECORDED_ON, stamps.LOG_LEVEL),
        *(
            f"{prefix}{field}"
            for prefix in (
                *(stamps.TURN_STT, stamps.TURN_EOU, stamps.TURN_EOT, stamps.TURN_INTERRUPTION),
                *(stamps.CALL + "vad.", stamps.CALL + "decision.", stamps.CALL + "avatar."),
            )
            for field in ("label", "request_id", "speech_id", "model_name", "model_provider")
        ),
    }
)
TEXTS = _LIVEKIT | _GEN_AI | _OPENTELEMETRY | _OTHERS | _OURS
"""Attributes whose texts are technical."""
PREFIXES = (
    *(stamps.CALL + "options.", stamps.ROOT_SUMMARY + "options."),
    # of the resource: what runs, and where
    *("service.", "telemetry.", "deployment.", "host.", "os.", "process.runtime."),
    *("process.executable.", "container.", "k8s.", "cloud.", "aws.", "gcp.", "azure."),
)

SPAN_NAMES = frozenset(
    {
        *(names.JOB_ENTRYPOINT, names.JOB_SHUTDOWN, names.AGENT_SESSION, names.SESSION_CLOSE),
        *(names.ROOM_CONNECT, names.START_AGENT_ACTIVITY, names.WAIT_FOR_PARTICIPANT),
        *(names.UPDATE_AGENT, names.USER_TURN, names.USER_SPEAKING, names.EOU_WAIT),
        *(names.ON_USER_TURN_COMPLETED, names.AGENT_TURN, names.AGENT_SPEAKING, names.LLM_NODE),
        *(names.LLM_REQUEST, names.LLM_REQUEST_RUN, names.LLM_FALLBACK_ADAPTER, names.TTS_NODE),
        *(names.TTS_REQUEST, names.TTS_REQUEST_RUN, names.TTS_FALLBACK_ADAPTER),
        *(names.FUNCTION_TOOL, names.REALTIME_INFERENCE, names.REALTIME_METRICS),
        *(names.JUDGE_EVALUATION, names.EVENT_LOOP_BLOCKED, "amd", "decision_model.evaluate"),
        *("drain_agent_activity", "eou_detection", "keyterm_detection", "on_enter", "on_exit"),
        *("on_session_end", "pause_agent_activity", "publish_audio_output", "room_disconnect"),
        *("resume_agent_activity", "rpc_call", "rpc_handler", "session_end_upload"),
        *("session_start", "setup_toolsets", "shutdown_callback", "tts_stream_adapter"),
        *("wait_for_audio_track", "job_dispatch"),
    }
)
"""LiveKit's names of its own spans: the same in every call."""

EVENT_NAMES = frozenset(
    {
        *("exception", "generation", names.EVENT_GENERATION_DISCARDED, "stop_response"),
        *(names.EVENT_PARTICIPANT_LINKED, "agent_state_changed", "user_state_changed"),
        *("user_resumed", "rearmed", "superseded", "availability_changed", "first_frame"),
        *(names.EVENT_DTMF, names.EVENT_SIP_STATUS, names.EVENT_SIP_HANG_UP),
        *("track_subscribed", "pre_connect_audio", "connection_state_changed"),
        *("job_received", "job_accepted", "job_assigned", "process_assigned"),
        *("entrypoint_started", "entrypoint_returned", "entrypoint_cancelled"),
        *("job_started_on_server", names.EVENT_LOOP_BLOCKED, stamps.EVENT_UNANSWERED),
        stamps.EVENT_LOG,
    }
)
"""The same of events, LiveKit's, OpenTelemetry's and ours."""

KNOWN_CONTENT = frozenset(
    {
        *names.USER_INPUT,
        *names.USER_TRANSCRIPT,
        *names.INSTRUCTIONS,
        *names.CHAT_CTX,
        *names.RESPONSE_TEXT,
        *names.FUNCTION_CALLS,
        *names.TOOL_ARGUMENTS,
        *names.TOOL_OUTPUT,
        *names.TTS_TEXT,
        *names.ROOM_NAME,
        *names.PARTICIPANT_IDENTITY,
        *(names.INPUT_MESSAGES, names.OUTPUT_MESSAGES, names.SYSTEM_INSTRUCTIONS),
        *(names.TOOL_DEFINITIONS, names.EVALUATION_EXPLANATION, "gen_ai.tool.description"),
        *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    }
)
"""What LiveKit says is content, beside all names with a `pii` segment."""
