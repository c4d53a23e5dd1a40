"""`python3 dev.py model`: random scenarios through the engine or the stack, beside the reference model."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time

from tests.model import comparing, scenarios

SHOWN = 3  # differences


def main() -> int:
    parser = argparse.ArgumentParser(prog="model", description=__doc__)
    parser.add_argument("--scenarios", type=int, default=2000, metavar="N", help="how many (2000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first one's seed (0)")
    parser.add_argument("--on", choices=("engine", "stack"), default="engine")
    parser.add_argument("--features", default="known", help="known, all, none, or names with commas between")
    options = parser.parse_args()
    sets = {"known": scenarios.KNOWN, "all": scenarios.FEATURES, "none": frozenset[str]()}
    features = sets.get(options.features, frozenset(options.features.split(",")))
    seeds = range(options.first, options.first + options.scenarios)
    began = time.monotonic()
    if options.on == "stack":
        from tests import door
        from tests.model import on_stack

        features = features & door.KNOWS if options.features == "known" else features
        found = asyncio.run(on_stack.replay(seeds, features))
    else:
        found = comparing.compare(seeds, features)
    for seed, difference in list(found.items())[:SHOWN]:
        print(json.dumps({"seed": seed} | difference, default=str, indent=1), file=sys.stderr)
    summary = {"scenarios": len(seeds), "different": sorted(found), "features": sorted(features)}
    print(json.dumps(summary | {"seconds": round(time.monotonic() - began, 1)}), flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    os._exit(main())  # the Temporal client can abort an interpreter that shuts down by itself
