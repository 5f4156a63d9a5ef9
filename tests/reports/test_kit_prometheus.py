"""The rules for Prometheus, by its own tool, and the metrics that they name."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from backupkit.assessment import Assessment
from backupkit.reports.kit import read_kit, write_kit
from backupkit.reports.openmetrics import openmetrics
from backupkit.tables import INVENTORY

yaml = pytest.importorskip("yaml")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def promtool(*arguments: object, folder: Path) -> str:
    """Run promtool, which must succeed, and return what it prints."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],  # noqa: S607 # where the system has it
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """Return all rules of the kit."""
    return [
        rule
        for name, content in read_kit("prometheus").items()
        if name != "backupkit-tests.yml"
        for group in yaml.safe_load(content)["groups"]
        for rule in group["rules"]
    ]


@needs_promtool
def test_check_rules(tmp_path: Path) -> None:
    """Promtool finds no fault in the rules."""
    write_kit("prometheus", tmp_path)
    names = ("backupkit-recording.yml", "backupkit-alerts.yml")
    printed = promtool("check", "rules", *names, folder=tmp_path)
    assert re.findall(r"SUCCESS: (\d+) rules found", printed) == ["6", "11"]


@needs_promtool
def test_test_rules(tmp_path: Path) -> None:
    """Breach, recovery, unknown, failed jobs, burn rates and stale data alert as they should."""
    write_kit("prometheus", tmp_path)
    printed = promtool("test", "rules", "backupkit-tests.yml", folder=tmp_path)
    assert "SUCCESS" in printed


def test_every_rule_is_tested() -> None:
    """Each alert has a test in which it fires, and one in which it does not."""
    tests = yaml.safe_load(read_kit("prometheus")["backupkit-tests.yml"])["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


def test_metrics_exist(week: Assessment) -> None:
    """Each metric, and each label, that the rules and their tests name is one of openmetrics."""
    missing = INVENTORY.frame({"host": ["vc-9.test"], "result": ["missing"]})
    text = openmetrics(week.replaced(inventory=missing))
    families = [*text_string_to_metric_families(text)]  # type: ignore[no-untyped-call] # it says no types
    labels: dict[str, set[str]] = {}
    for family in families:
        found = labels.setdefault(family.name, set())
        found.update(label for sample in family.samples for label in sample.labels)
    texts = {name: content.decode() for name, content in read_kit("prometheus").items()}
    named = set(re.findall(r"\bbackupkit_\w+", "\n".join(texts.values())))
    assert len(named) > 5
    assert named <= labels.keys()
    for metric, matchers in re.findall(r"\b(backupkit_\w+)\{([^}]*)\}", "\n".join(texts.values())):
        assert set(re.findall(r"(\w+)=", matchers)) <= labels[metric], metric
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = set(re.findall(r"\bbackupkit:[\w:]+", "\n".join(rule["expr"] for rule in rules())))
    assert used <= recorded


def test_alerts_explain_themselves() -> None:
    """Each alert has a severity to route by, and a summary and a description."""
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"].keys() == {"summary", "description"}
