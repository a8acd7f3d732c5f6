"""What can happen to a spool, its drainers and the disk while agents work.

`today` is empty: no other contender has a spool. What ours did before each was mended stands
in the row's comment.
"""

from __future__ import annotations

from .row import Row, short

DELIVERY = (
    # Before: the last version's 200 spans were counted as damaged, and both segments deleted.
    Row(
        "upgrade",
        "segments of the last version and of one to come lie in the spool",
        seconds=6,
        meddle="upgrade",
        ours_only=True,
        checks=("newer_version_kept",),
        bounded=short(4),
    ),
    # Before: SIGTERM for whoever had the drainer's pid over here, and its exit status was taken;
    # deliver/test_identity.py puts such a process there.
    # The last of them takes its drainer along: what was left lies on the volume, for the next one.
    Row(
        "containers",
        "three containers on one volume, their drainers killed every 2 s, then a fourth",
        seconds=20,
        agents=3,
        containers=True,
        kill_drainer_seconds=2,
        restart=True,
        ours_only=True,
        bounded=short(8),
    ),
    # Before: set-up went on, segments were read while they were written, 9 of 41 spans were lost
    # without a word, and doctor said ok.
    Row(
        "no-locks",
        "the file system has no file locks",
        seconds=2,
        no_locks=True,
        is_refused=True,
        ours_only=True,
        checks=("refused_for_locks",),
    ),
    # Before: nothing arrived as long as the drainer stood still, 761 of 761 spans, without a word.
    Row(
        "drainer-stops",
        "SIGSTOP for the drainer, which keeps its lease",
        seconds=45,
        meddle="stop-drainer",
        ours_only=True,
        checks=("stopped_drainer_said",),
        bounded=short(38),
    ),
    # Before: none of 101 spans arrived, and flush said True.
    Row(
        "spool-moved",
        "somebody moves the spool's directory away",
        seconds=10,
        meddle="move",
        ours_only=True,
        bounded=short(5),
    ),
    Row(
        "spool-replaced",
        "somebody moves all of TRACING_DIR away and puts an empty one in its place",
        seconds=10,
        meddle="replace",
        ours_only=True,
        bounded=short(5),
    ),
    # Before: each freeze held a span, 3.0 s each time.
    Row(
        "disk-hangs",
        "the disk answers nothing for 3 s, twice",
        seconds=12,
        disk="own",
        meddle="freeze",
        ours_only=True,
        checks=("held_once",),
    ),
    Row(
        "disk-hangs-thread",
        "the same, with TRACING_WRITE=thread",
        seconds=12,
        disk="own",
        meddle="freeze",
        settings=(("TRACING_WRITE", "thread"),),
        ours_only=True,
        checks=("held_never",),
    ),
    # Before: 19 drainers in 12 s; 292 interpreters in 15 s where they were killed as they started.
    Row(
        "drainer-storm",
        "four agents, each drainer killed as soon as it is there",
        seconds=18,
        agents=4,
        meddle="kill-at-once",
        ours_only=True,
        checks=("few_starts",),
        bounded=short(16),
    ),
    # Before: nothing was drained as long as the agent lived, without a word.
    Row(
        "no-python",
        "sys.executable is None",
        seconds=3,
        executable=None,
        restart=True,
        ours_only=True,
        checks=("drained_in_thread",),
    ),
    # Before: the program was started every second, and said five times why a thread drains.
    Row(
        "embedded",
        "sys.executable is a program that is no Python",
        seconds=3,
        executable="/bin/true",
        restart=True,
        ours_only=True,
        checks=("drained_in_thread",),
    ),
)
