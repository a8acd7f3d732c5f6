"""Which prompt a session's calls to a model are made with, by what the application named."""

from __future__ import annotations

from typing import NamedTuple

from tracing import stamps
from tracing.limits import forget_oldest
from tracing.span import Attributes

_MAX_AGENTS = 64


class Prompt(NamedTuple):
    """One version of a prompt that Langfuse manages."""

    name: str
    version: int


def link_to(prompt: Prompt | None) -> Attributes:
    """The stamps of a call to a model that was made with a prompt."""
    if prompt is None:
        return {}
    return {stamps.PROMPT_NAME: prompt.name, stamps.PROMPT_VERSION: prompt.version}


class Prompts:
    """The prompt in force, from when it was named until the agent changes or another is named.

    An agent that was paused, as for a task, and goes on has the one that it had.
    """

    def __init__(self, current: Prompt | None = None) -> None:
        self.current = current
        self._agent: str | None = None
        self._by_agent: dict[str, Prompt | None] = {}

    def agent_starts(self, label: str) -> None:
        """Forget the prompt of the agent before; the first agent has what was named for it."""
        is_first = self._agent is None
        self._change_to(label, self.current if is_first else None)

    def agent_resumes(self, label: str) -> None:
        """Go on with the prompt that an agent had."""
        self._change_to(label, self._by_agent.get(label))

    def _change_to(self, label: str, prompt: Prompt | None) -> None:
        if self._agent is not None:
            self._by_agent[self._agent] = self.current
            forget_oldest(self._by_agent, _MAX_AGENTS)
        self._agent, self.current = label, prompt
