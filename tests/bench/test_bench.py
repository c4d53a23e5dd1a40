"""The bench measures what it says; how much is for a quiet machine to tell."""

from __future__ import annotations

import json

from tests.bench.bench import Options, run
from tests.bench.report import as_json, table, targets


async def test_the_bench_compares_the_product_with_bare_temporal() -> None:
    results = await run(Options(rounds=1, seconds=0.5, cases=("bare1", "one"), in_flight=2, waiting=2))

    told = json.loads(as_json(results))["cases"]
    for case in ("bare1", "one", "bare1@1", "one@1"):
        assert told[case]["rate"] > 0, case
        assert told[case]["effect p50"] > 0, case
        assert f"| {case} |" in table(results)
    for case in ("bare1", "one"):
        assert told[case]["events"] > 0, case
        assert told[case]["bytes"] > 0, case
    named = {target.what for target in targets(results)}
    assert {"one rule, rate ÷ bare", "an idle journey: events"} <= named
    assert "a worker with 2 waiting journeys, MB" in named
