"""`python -m tracing`."""

from tracing.cli import main

main()
