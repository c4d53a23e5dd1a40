"""`python3 dev.py traces FILE`: real journeys through the engine or the stack, beside the reference model."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.model import drive, reference
from tests.traces import log, rules


def replay(path: Path, limit: int | None = None, *, progress: bool = False) -> dict[str, Any]:
    """Run the cases of the log through engine and model; the counts, and how many entries differ."""
    began = time.monotonic()
    counts: Counter[str] = Counter()
    ready = None
    for number, case in enumerate(log.cases(path), 1):
        if limit is not None and number > limit:
            break
        scenario = log.scenario(case)
        ready = ready or drive.pipelines(scenario)
        entries = drive.run(scenario, rules.FIELD_TYPES, ready)
        expected, found = drive.compared(reference.run(scenario)), drive.compared(entries)
        counts["cases"] += 1
        counts["events"] += len(scenario["events"])
        counts["mismatches"] += ((expected - found) + (found - expected)).total()
        counts.update(f"{e[3]} {e[4]}".strip() for e in entries)
        if progress and number % 1000 == 0:
            print(f"{number} cases, {counts['mismatches']} mismatches", file=sys.stderr, flush=True)
    summary = {name: counts.pop(name, 0) for name in ("cases", "events", "mismatches")}
    return summary | {"steps": dict(sorted(counts.items())), "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="traces", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cases", type=int, help="only the first N cases")
    parser.add_argument("--on", choices=("engine", "stack"), default="engine")
    options = parser.parse_args()
    if options.on == "stack":
        from tests.traces import on_stack

        summary = asyncio.run(on_stack.replay(options.file, options.cases or 200, progress=True))
    else:
        summary = replay(options.file, options.cases, progress=True)
    print(json.dumps(summary), flush=True)
    return 1 if summary["mismatches"] else 0


if __name__ == "__main__":
    os._exit(main())  # the Temporal client can abort an interpreter that shuts down by itself
