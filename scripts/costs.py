#!/usr/bin/env python3
"""Writes the table of docs/costs.md, what Ebb costs a month; with --check it only says whether the table
is up to date.

What is counted comes from where it is measured: seconds from docs/benchmarks.md, which `make bench`
prints, and metrics from docs/answers.md, which a test compares with the code. Prices and the traffic
that is assumed stand here, and are said on the page.
"""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "costs.md"
BEGIN, END = "<!-- BEGIN_COSTS -->\n", "<!-- END_COSTS -->\n"

# US dollars in us-east-1, arm64, beyond the free tiers (the services' pricing pages, November 2026).
GB_SECOND, INVOCATION = 0.0000133334, 0.20e-6
SQS_REQUEST, SNS_REQUEST, SCHEDULE_CALL = 0.40e-6, 0.50e-6, 1.00e-6
METRIC, ALARM, DASHBOARD, LOG_GB = 0.30, 0.10, 3.00, 0.50

HOURS, SWEEPS = 730, 1460
# Of one group, a month: what is assumed.
TERMINATIONS, NOTICES, DRAIN_SECONDS_COLUMN = 60, 30, 300
# Lambda reads a queue with five pollers at least, each of which waits 20 s for a message.
POLLS = 5 * 3 * 60 * HOURS
# Alarms of the minimal example.
ALARMS = 27
# Bytes that a sweep logs of a cluster of 12 instances: its plan as text and its answer.
SWEEP_LOG_BYTES = 6_000
# Of the reaper, by cluster, in every sweep: six counts, two of headroom, three of saving.
REAPER_CLUSTER_METRICS = 11


def benchmark(pattern):
    found = re.search(pattern, (DOCS / "benchmarks.md").read_text(), re.MULTILINE)
    return float(found[1])


def function_metrics():
    """How many metrics there are without the cluster as a dimension."""
    rows = re.findall(r"^\| (`[^|]*) \| (spot|lifecycle|reaper|all) \|", (DOCS / "answers.md").read_text(), re.MULTILINE)
    return sum(names.count("`") // 2 * (3 if function == "all" else 1) for names, function in rows)


def costs(groups, by_cluster):
    """By what is billed. Each group is the only one of its cluster."""
    drain_seconds = benchmark(rf"^ +1 +{DRAIN_SECONDS_COLUMN} s +[\d.]+ +\d+ +(\d+)")
    notice_seconds = benchmark(r"one configured cluster +\d+ +(\d+)") / 1000
    sweep_seconds = benchmark(r"^ +12 +4 +act +\d+ +\d+ +\d+ +\d+ +([\d.]+)")
    gb_seconds = groups * (
        TERMINATIONS * drain_seconds * 0.125 + NOTICES * notice_seconds * 0.125 + SWEEPS * sweep_seconds * 0.25
    )
    hops = groups * TERMINATIONS
    lambda_ = gb_seconds * GB_SECOND + (hops + groups * NOTICES + SWEEPS) * INVOCATION
    messages = POLLS * SQS_REQUEST + hops * SNS_REQUEST + SWEEPS * SCHEDULE_CALL
    metrics = function_metrics()
    if by_cluster:
        # Those of drains and notices are there in the hours in which there is one.
        seldom = (TERMINATIONS * 4 + NOTICES) / HOURS
        metrics += groups * (REAPER_CLUSTER_METRICS + seldom)
    logs = groups * SWEEPS * SWEEP_LOG_BYTES / 1e9
    return [
        ("functions", lambda_),
        ("queue, topic, schedule", messages),
        ("logs", logs * LOG_GB),
        ("metrics", metrics * METRIC),
        ("alarms and dashboard", ALARMS * ALARM + DASHBOARD),
    ]


def table():
    sizes = [1, 10, 100]
    columns = [costs(groups, by_cluster=True) for groups in sizes]
    without = [costs(groups, by_cluster=False) for groups in sizes]
    head = ["a month, in US dollars", *(f"{groups} group{'s' * (groups > 1)}" for groups in sizes)]
    rows = [head, ["---", *("---:" for _ in sizes)]]
    for number, (name, _) in enumerate(columns[0]):
        rows.append([name, *(f"{column[number][1]:.2f}" for column in columns)])
    rows.append(["**all**", *(f"**{sum(cost for _, cost in column):.2f}**" for column in columns)])
    rows.append(
        ["all, with `METRICS_BY_CLUSTER=false`", *(f"{sum(cost for _, cost in column):.2f}" for column in without)]
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    current = before + BEGIN + table() + END + after
    if "--check" in sys.argv:
        if current != page:
            sys.exit("docs/costs.md: its table is out of date; run scripts/costs.py")
        return
    PAGE.write_text(current)


if __name__ == "__main__":
    main()
