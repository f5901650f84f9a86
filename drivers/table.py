"""Makes one table of the figures of bench.sh: a row for each kind and depth, a column for each who made them."""

import json
import statistics
import sys

columns = {"tega bench": "", "Go": "go", "Python, asyncio": "asyncio", "Python, threads": "blocking"}
figures = {}
for line in sys.stdin:
    told = json.loads(line)
    for one in told if isinstance(told, list) else [told]:
        figures.setdefault((one["what"], one["depth"], one.get("by", "")), []).append(one)

print("a second (median latency)".ljust(25) + "".join(f"{name:>26}" for name in columns))
for what, depth in sorted({key[:2] for key in figures}, reverse=True):
    row = f"{what}, depth {depth}".ljust(25)
    for by in columns.values():
        rounds = figures.get((what, depth, by))
        if rounds is None:
            row += "-".rjust(26)
            continue
        rate = statistics.median(one["per_second"] for one in rounds)
        latency = statistics.median(one["p50_us"] for one in rounds)
        row += f"{rate:,.0f} ({latency:,.0f} µs)".rjust(26)
    print(row)
