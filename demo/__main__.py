"""Run one call on this machine, without accounts, and show where its trace is."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from livekit.agents import AgentServer, utils
from livekit.protocol import models
from rich.console import Console
from rich.text import Text

from demo import script
from tracing import ConfigError, Tracing, setup_tracer
from tracing.config.langfuse import Langfuse
from tracing.config.load import load_settings
from tracing.config.otlp import Otlp
from tracing.config.settings import backends_of
from tracing.deliver.outcome import Outcomes

START_SECONDS = 90.0
"""How long the call's process may take to start: after an installation everything is compiled
once, and on a busy machine LiveKit's 10 seconds are too few for that."""
DELIVERY_SECONDS = 10.0
"""How long the summary waits for the last spans to arrive."""


NO_RECOGNISER = """\
The demo understands its caller by pocketsphinx, which is not here. For Python 3.10 to 3.13 it comes
with `make demo`, or `pip install --group demo .`; for later ones there is none yet.
What you install the package for does without: set up tracing in your own agent.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return the exit status."""
    options = parse(arguments)
    if find_spec("pocketsphinx") is None:
        sys.stderr.write(NO_RECOGNISER)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().handlers[0].addFilter(_worth_showing)
    if options.backend:
        os.environ["TRACING_BACKEND"] = options.backend  # for the call's own process, too
    if options.record:
        os.environ["TRACING_RECORDING"] = "true"
    console = Console(highlight=False)
    try:
        import agent_entry  # noqa: F401  sets up tracing, as it does in the call's process

        outcomes = Outcomes(setup_tracer().directory or Path(), backends_of(load_settings()))
        seconds = 2 + 7 * options.turns
        console.print(f"A call of about {seconds} seconds. It makes no sound.\n", style="dim")
        call = {
            "turns": options.turns,
            "preemptive": options.preemptive,
            "record": options.record,
        }
        asyncio.run(serve(call))
    except ConfigError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        console.show_cursor()
    return tell(setup_tracer(), outcomes, console)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The demo's options."""
    parser = argparse.ArgumentParser(prog="agent_entry.py demo", description=__doc__)
    parser.add_argument(
        "--backend",
        metavar="NAMES",
        help="langfuse, otlp, local, console, or several with commas; "
        "by default what the environment and .env.local say, else local",
    )
    parser.add_argument(
        "--turns",
        type=int,
        choices=range(1, len(script.TURNS) + 1),
        default=len(script.TURNS),
        metavar="N",
        help="end the call after the caller's first N lines",
    )
    parser.add_argument(
        "--no-preemptive",
        dest="preemptive",
        action="store_false",
        help="let the model begin only when the caller's turn has ended, to compare",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="record the call's audio too; `python -m tracing view` plays it",
    )
    return parser.parse_args(arguments)


async def serve(options: Mapping[str, Any]) -> None:
    """Serve one simulated job, in a process of its own, and return when it has ended.

    `options` are the call's: `turns`, `preemptive`, `record`.
    """
    from demo import call

    server = AgentServer(
        host="127.0.0.1",
        setup_fnc=call.prewarm,
        initialize_process_timeout=START_SECONDS,
    )
    server.rtc_session(call.entrypoint)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    try:
        await started.wait()
        metadata = json.dumps(options)
        room = models.Room(sid=utils.shortuuid("RM_"), name="demo", metadata=metadata)
        await server.simulate_job(room.name, fake_job=True, room_info=room)
        await server.drain()
    finally:
        await server.aclose()
    await serving


def tell(tracing: Tracing, outcomes: Outcomes, console: Console) -> int:
    """Say what was recorded where, and how to open it; return the exit status."""
    settings = load_settings()
    if not tracing.enabled:
        console.print("Nothing was recorded: tracing is off.", style="yellow")
        return 0
    tracing.flush(DELIVERY_SECONDS)
    found = {outcome.backend: outcome for outcome in outcomes.since()}
    console.print()
    if settings.has_store:
        subprocess.run([sys.executable, "-m", "tracing", "report", "--last", "1"], check=False)
        console.print(f"\nRecorded in {settings.directory}. Open the call with:")
        console.print(f"  {python_from(Path.cwd())} -m tracing view", style="bold", soft_wrap=True)
    for name, backend in settings.backends.items():
        outcome = found.get(name)
        if outcome is not None and (outcome.waiting or outcome.lost):
            console.print(Text(f"Not all is there: {outcome}", style="yellow"), soft_wrap=True)
        elif isinstance(backend, Langfuse):
            console.print(f"Sent to Langfuse: {backend.base_url}", soft_wrap=True)
        elif isinstance(backend, Otlp):
            console.print(f"Sent by OTLP to {backend.endpoint}", soft_wrap=True)
    return 1 if any(outcome.waiting or outcome.lost for outcome in found.values()) else 0


def python_from(directory: Path) -> str:
    """How this Python is called from a directory: by its path where it is below, as in `.venv`."""
    executable = Path(sys.executable)
    below = executable.is_relative_to(directory)
    return str(executable.relative_to(directory)) if below else "python"


def _worth_showing(record: logging.LogRecord) -> bool:
    """Leave out what the call's process has shown, and what is usual for a worker of one call."""
    if record.process != os.getpid():
        record.exc_text = None  # already in the message
    return not hasattr(record, "shown") and "no warmed process" not in record.getMessage()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
