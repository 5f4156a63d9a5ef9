"""The dashboards for Grafana: their structure, and each of their queries on real data.

Grafana publishes no JSON Schema of a dashboard that works without its Go sources. So the structure
is checked against the fields that its documentation requires.
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from backupkit import History
from backupkit.assessment import Assessment
from backupkit.reports.kit import KITS, read_kit
from backupkit.reports.openmetrics import openmetrics

SAMPLE: Final = Path(__file__).parent.parent.parent / "data" / "history.db"
DASHBOARDS: Final = {
    name.removeprefix("backupkit-").removesuffix(".json"): json.loads(content)
    for name, content in read_kit("grafana").items()
}
SOURCES: Final = {
    "prometheus": "prometheus",
    "sqlite": "frser-sqlite-datasource",
    "postgresql": "grafana-postgresql-datasource",
}
PANELS: Final = {"stat", "table", "bargauge", "timeseries", "state-timeline"}
START, END = 1_767_225_600_000, 1_798_761_600_000  # the year 2026 [ms]
ROWS: Final = {
    "Newest success": 12,
    "Failed jobs": 114,
    "Failed polls": 1,
    "Duration": 697,
    "Size": 607,
}
"""Rows of a panel for the sample history: 697 successes, of which 607 have a size."""


def list_targets(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the title of its panel and each query of a dashboard."""
    for panel in DASHBOARDS[kind]["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target


@pytest.mark.parametrize("kind", DASHBOARDS)
class TestStructure:
    """The required fields of a dashboard."""

    def test_dashboard(self, kind: str) -> None:
        """A dashboard has title, uid, time and version, and asks for no input at an import."""
        dashboard = DASHBOARDS[kind]
        assert dashboard["uid"] == f"backupkit-{kind}"
        assert re.fullmatch(r"[\w-]{1,40}", dashboard["uid"])
        assert dashboard["schemaVersion"] >= 36
        assert dashboard["time"].keys() == {"from", "to"}
        assert {"title", "description", "tags", "timezone", "refresh", "version"} <= set(dashboard)
        assert not {"__inputs", "__requires", "id"} & set(dashboard)

    def test_panels(self, kind: str) -> None:
        """Panels have what Grafana needs, and do not overlap."""
        panels = DASHBOARDS[kind]["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels) > 5
        assert len({panel["title"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            assert panel["type"] in PANELS
            assert panel["description"].endswith(".")
            place = panel["gridPos"]
            assert 0 <= place["x"] < place["x"] + place["w"] <= 24
            cells = {
                (place["x"] + across, place["y"] + down)
                for across in range(place["w"])
                for down in range(place["h"])
            }
            assert not taken & cells
            taken |= cells
            assert panel["fieldConfig"].keys() == {"defaults", "overrides"}
            refs = [target["refId"] for target in panel["targets"]]
            assert len(refs) == len(set(refs)) > 0
            for source in (panel["datasource"], *(one["datasource"] for one in panel["targets"])):
                assert source == {"type": SOURCES[kind], "uid": "${datasource}"}

    def test_variables(self, kind: str) -> None:
        """Each variable that a query uses is defined, and the first chooses the data source."""
        variables = DASHBOARDS[kind]["templating"]["list"]
        assert (variables[0]["type"], variables[0]["query"]) == ("datasource", SOURCES[kind])
        assert all({"name", "label", "type", "query"} <= set(one) for one in variables)
        names = {one["name"] for one in variables}
        used = set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(DASHBOARDS[kind]["panels"])))
        assert used == names


def test_files() -> None:
    """The dashboards are the files of the kit, each as a person can read it."""
    assert [f"backupkit-{kind}.json" for kind in SOURCES] == [*KITS["grafana"]]
    for name, content in read_kit("grafana").items():
        assert content.decode() == json.dumps(json.loads(content), indent=2) + "\n", name


def test_same_panels() -> None:
    """The dashboards of both databases show the same."""
    panels = [
        [(one["title"], one["type"], one["gridPos"]) for one in DASHBOARDS[kind]["panels"]]
        for kind in ("sqlite", "postgresql")
    ]
    assert panels[0] == panels[1]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promql(week: Assessment, tmp_path: Path) -> None:
    """Each query finds something in the metrics of a fleet with problems of each kind."""
    families = text_string_to_metric_families(openmetrics(week))  # type: ignore[no-untyped-call] # it says no types
    series = [
        {
            "series": f"{one.name}{{{format_labels(one.labels)}}}",
            "values": f"{one.value:.3f}x1",
        }
        for family in families
        for one in family.samples
    ]
    expressions = [
        re.sub(r"\$(?:site|appliance)", ".*", target["expr"])
        for _, target in list_targets("prometheus")
    ]
    cases = [
        {
            "expr": f"count({one}) > bool 0",
            "eval_time": "1m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for one in expressions
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": cases}
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))  # JSON is YAML
    done = subprocess.run(
        ["promtool", "test", "rules", path.name],  # noqa: S607 # where the system has it
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    variables = [one["query"] for one in DASHBOARDS["prometheus"]["templating"]["list"][1:]]
    assert all(
        one["query"].startswith("label_values(backupkit_appliance_state") for one in variables
    )


def format_labels(labels: dict[str, str]) -> str:
    """Return labels as PromQL has them."""
    return ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())


def expand(text: str, names: list[str]) -> str:
    """Replace the variables and macros of Grafana as its documentation says."""
    quoted = ", ".join(f"'{name}'" for name in names)
    text = text.replace("${appliance:sqlstring}", quoted)
    text = text.replace("$__from", str(START)).replace("$__to", str(END))
    between = r"\1 BETWEEN '2026-01-01T00:00:00Z' AND '2027-01-01T00:00:00Z'"
    text = re.sub(r"\$__timeFilter\(((?:[^()]|\([^()]*\))+)\)", between, text)
    assert "$" not in text
    return text


def check_rows(results: dict[str, list[tuple[Any, ...]]]) -> None:
    """Check the results of the panels for the sample history."""
    assert {title: len(results[title]) for title in ROWS} == ROWS
    days = results["Jobs by day and outcome"]
    assert [sum(row[column] for row in days) for column in (1, 2)] == [697, 114]
    assert results["Newest success"][0][1] is None  # never backed up
    assert [row[0] for row in days] == sorted({row[0] for row in days})


def test_sqlite() -> None:
    """Each query of the dashboard for SQLite runs on the sample history."""
    variable = DASHBOARDS["sqlite"]["templating"]["list"][1]["query"]["queryText"]
    with closing(sqlite3.connect(f"{SAMPLE.as_uri()}?mode=ro", uri=True)) as connection:
        names = [name for (name,) in connection.execute(variable)]
        results = {
            title: connection.execute(expand(target["queryText"], names)).fetchall()
            for title, target in list_targets("sqlite")
        }
        fields = {
            title: [
                one[0] for one in connection.execute(expand(target["queryText"], names)).description
            ]
            for title, target in list_targets("sqlite")
        }
    check_rows(results)
    for title, target in list_targets("sqlite"):
        assert set(target["timeColumns"]) <= set(fields[title])
        assert target["queryText"] == target["rawQueryText"]
    [first, *_] = results["Duration"]
    assert START / 1000 < first[0] < END / 1000  # seconds, as the plug-in expects


def test_postgresql(postgres_url: str) -> None:
    """Each query of the dashboard for PostgreSQL runs on the sample history."""
    import psycopg  # noqa: PLC0415 # only where there is a PostgreSQL

    History(postgres_url).merge(SAMPLE)
    variable = DASHBOARDS["postgresql"]["templating"]["list"][1]["query"]
    with psycopg.connect(postgres_url) as connection:
        names = [str(name) for (name,) in connection.execute(variable)]
        results = {
            title: connection.execute(expand(target["rawSql"], names).encode()).fetchall()
            for title, target in list_targets("postgresql")
        }
    check_rows(results)
