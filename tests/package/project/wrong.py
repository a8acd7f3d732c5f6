"""Slips of the pen: a type checker finds each line that is marked, and no other."""

from __future__ import annotations

import tracing
from tracing import Langfuse, Otlp, observe, setup_tracer

setup_tracer(bakend="local")  # wrong
setup_tracer(7)  # wrong
setup_tracer("langfuse", public_key=7)  # wrong
setup_tracer("otlp", compression="zip")  # wrong
setup_tracer(mask=len)  # wrong
Langfuse("pk-lf-1")  # wrong
Langfuse(scores="some")  # wrong
Langfuse().public_key = "pk-lf-1"  # wrong
Otlp(timeout="2 s")  # wrong
observe("session")  # wrong
tracing.set_up_tracer()  # wrong
tracing.setup_tracer().drops()  # wrong
