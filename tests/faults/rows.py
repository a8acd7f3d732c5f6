"""The table of faults, in the order in which it is printed."""

from __future__ import annotations

from .backend_rows import ANSWERS, LOADS, OUTAGES
from .delivery_rows import DELIVERY
from .process_rows import DEATHS, DISKS, JOBS, SOAK

ROWS = (*OUTAGES, *DEATHS, *LOADS, *ANSWERS, *JOBS, *DISKS, *DELIVERY, *SOAK)
ROW_BY_NAME = {row.name: row for row in ROWS}
