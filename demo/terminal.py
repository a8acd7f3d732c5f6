"""The call on the terminal while it happens: who says what, and how long the caller waited."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from livekit.agents import (
    AgentHandoff,
    AgentSession,
    AgentStateChangedEvent,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import io
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

BUDGET_SECONDS = 1.0
"""A reply that starts later than this after the caller's last word is marked."""


@dataclass
class Row:
    """One line of the conversation."""

    who: str
    said: Text
    latency: float | None = None
    """From the caller's last word to the agent's first, in seconds."""


class Terminal(io.TextOutput):
    """Shows a session's conversation: what is being said moves, what has been said stays."""

    def __init__(self, session: AgentSession[None], console: Console | None = None) -> None:
        super().__init__(label="Terminal", next_in_chain=None)
        self._console = console or Console()
        self._caller: Row | None = None
        self._agent: Row | None = None
        self._heard = ""
        self._caller_stopped_at: float | None = None
        self._live = Live(console=self._console, get_renderable=self._open_rows, transient=True)
        self._log = _LogRows(self)
        session.on("user_state_changed", self._on_user_state)
        session.on("user_input_transcribed", self._on_transcribed)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("function_tools_executed", self._on_tools)
        session.on("conversation_item_added", self._on_item)

    def start(self) -> None:
        """Print the heading and take over the log."""
        self._console.print(_table(header=True))
        logging.getLogger().handlers.insert(0, self._log)
        if self._console.is_terminal:
            self._live.start()

    def stop(self) -> None:
        """Leave the terminal as it is wanted."""
        self._live.stop()
        logging.getLogger().removeHandler(self._log)

    def show(self, row: Row) -> None:
        """Print a row that stays."""
        self._console.print(_table(row))

    async def capture_text(self, text: str) -> None:
        """Show some more words of the agent, in the moment in which they are heard."""
        self._agent = self._agent or Row("agent", Text())
        self._agent.said.append(text)

    def flush(self) -> None:
        """Do nothing: the conversation's own record tells what was said in the end."""

    def _open_rows(self) -> Table:
        return _table(*(row for row in (self._agent, self._caller) if row))

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        if event.old_state == "speaking":
            self._caller_stopped_at = event.created_at

    def _on_transcribed(self, event: UserInputTranscribedEvent) -> None:
        said = f"{self._heard} {event.transcript}".strip()
        self._caller = Row("caller", Text(said))
        if event.is_final:
            self._heard = said

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state != "speaking":
            return
        self._agent = self._agent or Row("agent", Text())
        if self._caller_stopped_at is not None:
            self._agent.latency = event.created_at - self._caller_stopped_at
            self._caller_stopped_at = None

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for call, output in event.zipped():
            said = Text(f"{call.name} {call.arguments} ", style="dim")
            if output is not None and output.is_error:
                said.append("failed", style="red")
            elif output is not None:
                said.append(output.output)
            self.show(Row("tool", said))

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, AgentHandoff) and item.old_agent_id:
            said = Text(f"{item.old_agent_id} hands over to {item.new_agent_id}", style="dim")
            self.show(Row("", said))
        elif isinstance(item, ChatMessage) and item.role == "user":
            self._caller, self._heard = None, ""
            self.show(Row("caller", Text(item.text_content or "")))
        elif isinstance(item, ChatMessage) and item.role == "assistant":
            self._on_agent_message(item)

    def _on_agent_message(self, message: ChatMessage) -> None:
        row, self._agent = self._agent or Row("agent", Text()), None
        row.said = Text(message.text_content or "")
        if message.interrupted:
            row.said.append(" (interrupted)", style="yellow")
        row.latency = message.metrics.get("e2e_latency", row.latency)
        self.show(row)


class _LogRows(logging.Handler):
    """Shows warnings as rows, which a line of the parent process would tear apart."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record and mark it as shown; of an exception, its last line."""
        record.shown = True
        said = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            said += f": {record.exc_info[1]!r}"
        style = "red" if record.levelno >= logging.ERROR else "yellow"
        self._terminal.show(Row("log", Text(said, style=style)))


def _table(*rows: Row, header: bool = False) -> Table:
    table = Table(box=None, expand=True, show_header=header, pad_edge=False)
    table.add_column("", width=6, style="bold")
    table.add_column("", ratio=1)
    table.add_column("latency", width=7, justify="right")
    for row in rows:
        table.add_row(row.who, row.said, _latency(row.latency))
    return table


def _latency(seconds: float | None) -> Text:
    if seconds is None:
        return Text()
    return Text(f"{seconds:.2f} s", style="green" if seconds <= BUDGET_SECONDS else "red")
