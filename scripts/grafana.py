#!/usr/bin/env python3
"""Writes infra/grafana.json, a dashboard for Grafana's CloudWatch data source, from infra/charts.json,
of which the module's own dashboard is made as well; with --check it only says whether it is up to date.
"""

import json
import pathlib
import sys

MODULE = pathlib.Path(__file__).resolve().parents[1] / "infra"
DASHBOARD = MODULE / "grafana.json"
# A row takes 24 columns.
COLUMNS, WIDTH, HEIGHT = 3, 8, 8
DATASOURCE = {"type": "cloudwatch", "uid": "${datasource}"}


def query(number, namespace, metric, statistic, dimensions, label):
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "queryMode": "Metrics",
        "metricQueryType": 0,
        "metricEditorMode": 0,
        "region": "$region",
        "namespace": namespace,
        "metricName": metric,
        "statistic": statistic,
        "dimensions": dimensions,
        # Or the metric by cluster would be shown with that of the function as a whole.
        "matchExact": True,
        "period": "300",
        "label": label,
    }


def own_charts():
    for chart in json.loads((MODULE / "charts.json").read_text()):
        dimensions, prefix = {"function": chart["function"]}, ""
        if chart.get("by_cluster"):
            # A line for each cluster that there is. Dynamic labels are CloudWatch's.
            dimensions["cluster"] = "*"
            prefix = "${PROP('Dim.cluster')} "
        queries = [
            query(number, "$namespace", metric, chart["stat"], dimensions, prefix + metric)
            for number, metric in enumerate(chart["metrics"])
        ]
        yield chart["title"], queries


def lambda_charts():
    functions = sorted({chart["function"] for chart in json.loads((MODULE / "charts.json").read_text())})
    for metric, statistic in [("Errors", "Sum"), ("Throttles", "Sum"), ("Duration", "Maximum")]:
        queries = [
            query(number, "AWS/Lambda", metric, statistic, {"FunctionName": f"$name_prefix-{function}"}, function)
            for number, function in enumerate(functions)
        ]
        yield f"Functions: {metric}", queries


def panel(number, title, queries):
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {
            "x": WIDTH * (number % COLUMNS),
            "y": HEIGHT * (number // COLUMNS),
            "w": WIDTH,
            "h": HEIGHT,
        },
        "targets": queries,
    }


def text_variable(name, label, value):
    current = {"text": value, "value": value}
    return {"name": name, "label": label, "type": "textbox", "query": value, "current": current, "options": [current]}


def dashboard():
    charts = [*own_charts(), *lambda_charts()]
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "cloudwatch"},
        {
            "name": "region",
            "label": "Region",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"queryType": "regions", "refId": "Regions"},
            "refresh": 1,
        },
        text_variable("namespace", "metrics_namespace", "Ebb"),
        text_variable("name_prefix", "name_prefix", "ebb"),
    ]
    return {
        "title": "Ebb",
        "uid": "ebb",
        "tags": ["ecs", "ebb"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables},
        "panels": [panel(number, *chart) for number, chart in enumerate(charts)],
    }


def main():
    text = json.dumps(dashboard(), indent=2) + "\n"
    if "--check" in sys.argv:
        if not DASHBOARD.exists() or DASHBOARD.read_text() != text:
            sys.exit("infra/grafana.json is out of date; run scripts/grafana.py")
        return
    DASHBOARD.write_text(text)


if __name__ == "__main__":
    main()
