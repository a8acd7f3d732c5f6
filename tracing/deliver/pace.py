"""How often a keeper, a drainer and its deliveries look, and how long they wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """The waits of delivery, in seconds; what stands here is what an agent runs with."""

    linger_seconds: float = 1.0
    """How long a living process's batch is given to grow."""
    poll_seconds: float = 0.05
    """How often a delivery looks for spans that were written meanwhile."""
    shortest_pause_seconds: float = 0.25
    """How soon a backend that has just failed is asked again."""
    longest_pause_seconds: float = 30.0
    """How rarely a backend is asked that has been away for long."""
    say_after_seconds: float = 5.0
    """How long an outage lasts before a person reads of it."""
    drainer_tick_seconds: float = 0.1
    """How often the drainer deletes what was delivered, and looks whether there is work."""
    status_seconds: float = 0.5
    """How often the drainer writes its status down."""
    keeper_tick_seconds: float = 1.0
    """How often the keeper looks whether somebody drains, and logs what the drainer says."""
    checkpoint_seconds: float = 0.2
    """How often the keeper runs the processor's checkpoint of open spans."""
    start_within_seconds: float = 30.0
    """How soon a drainer that was started has to hold the lease."""
    first_restart_seconds: float = 1.0
    """How soon a drainer is started again that has come to nothing; twice that the next time."""
    longest_restart_seconds: float = 30.0
    """How rarely a drainer is started that comes to nothing every time."""
    well_after_seconds: float = 10.0
    """How long a drainer has to live for the next one to be started at once."""
    silent_say_seconds: float = 10.0
    """How long a drainer gives no sign of life before a person reads of it."""
    silent_end_seconds: float = 30.0
    """How long a drainer gives no sign of life before it is ended and replaced."""


PRODUCTION = Pace()
"""The pace of whoever names none."""
