"""`python3 dev.py bench`: what the product costs beside bare Temporal, in turns on the same server.

CPU-ms an operation: `server` Temporal, `worker` with its database client, `driver` the write path and the
ringing (of bare: the signal), `postgres`; `others` are the cores that anything else took. Milliseconds from
the call: `written` the commit, `rung` the answer of Temporal, `effect` the first effect. Medians over rounds;
ratios are taken within a round, and every round reverses the order. CPU is compared by `server` + `worker`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import uvloop

from tests.bench.bench import CASES, Options, run
from tests.bench.report import as_json, table, verdicts


def main() -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=shape)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of a window")
    named = ", ".join(CASES)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=named)
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--waiting", type=int, default=1000, help="journeys a worker holds; 0: skip")
    given = parser.parse_args()
    options = Options(given.rounds, given.seconds, given.cases, given.in_flight, given.waiting)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped
    results = uvloop.run(run(options))
    print(table(results), verdicts(results), as_json(results), sep="\n\n", flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the client of Temporal may abort the interpreter while it ends
