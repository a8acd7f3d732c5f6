"""The restaurant's agent with the demo's models, for a LiveKit server where no key is at hand.

python -m demo.agent start      as `python agent_entry.py start`, without LiveKit Inference
"""

from __future__ import annotations

from livekit.agents import JobProcess, cli

from agent_entry import server
from demo.models import offline_models


def prewarm(process: JobProcess) -> None:
    """Load the offline models before a call is waiting for them."""
    process.userdata["models"] = offline_models()


server.setup_fnc = prewarm

if __name__ == "__main__":
    cli.run_app(server)
