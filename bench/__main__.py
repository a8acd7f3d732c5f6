"""Run the benchmarks: `python -m bench [NAME...] [--quick]`."""

from __future__ import annotations

import argparse
import compileall
import sys

import tracing

from . import account, encode, heard, hot_path, logs, loop_lag, set_up, throughput, view, wire

BENCHES = {
    "hot_path": hot_path,
    "logs": logs,
    "account": account,
    "loop_lag": loop_lag,
    "throughput": throughput,
    "wire": wire,
    "set_up": set_up,
    "encode": encode,
    "view": view,
    "heard": heard,
}


def main() -> int:
    """0 when ours meets every target and every contender could be measured, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    options = parser.parse_args()
    unknown = set(options.names) - BENCHES.keys()
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    compileall.compile_dir(tracing.__path__[0], quiet=1)  # as an installer does
    chosen = [BENCHES[name] for name in options.names or BENCHES]
    met = [bench.main(1) if options.quick else bench.main() for bench in chosen]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
