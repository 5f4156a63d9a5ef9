"""Each parameter of the SLA is declared once, and everything else follows from that."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import backupkit as bk
from backupkit.errors import SettingsError
from backupkit.policy import PARAMETERS, Policy
from backupkit.policy.policy import digest_of
from backupkit.tables import ASSESSED_JOBS, POLLS, SCHEDULES, TARGETS

ROOT = Path(__file__).parent.parent.parent
DECLARATIONS = "backupkit/policy/parameters.py"
ADDED = """
    patience: Duration = Parameter(
        DURATION,
        "3h",
        label="Patience",
        meaning="A parameter that only this test knows.",
        section="states",
    )

    @property
    def threshold("""
SCRIPT = """
import json, runpy
from backupkit import evaluate_frames
from backupkit.errors import SettingsError
from backupkit.policy import Policy
from backupkit.policy.policy import digest_of, format_parameters
from backupkit.reports.exports import stream_json
from backupkit.reports.schema import schema
from backupkit.tables import ASSESSED_JOBS, POLLS, SCHEDULES

def refused(call, *arguments, **parameters):
    try:
        call(*arguments, **parameters)
    except SettingsError as error:
        return str(error)

open("fleet.toml", "w").write("[policy]\\npatience = '5h'\\n")
open("wrong.toml", "w").write("[policy]\\npatience = 'long'\\n")
policy = Policy.load("fleet.toml")
frames = (ASSESSED_JOBS.empty(), POLLS.empty(), SCHEDULES.empty())
start, end = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"
empty = evaluate_frames(*frames, policy, start=start, end=end, now=end)
print(json.dumps({
    "page": format_parameters(policy),
    "json": json.loads(b"".join(stream_json(empty)))["policy"]["numbers"],
    "schema": schema()["$defs"]["numbers"]["properties"],
    "rules": policy.rules(["vc"]).astype("str").loc["vc"].to_dict(),
    "docs": runpy.run_path("docs/generate.py")["sla"](),
    "docstring": Policy.__doc__,
    "digests": [digest_of(Policy()), digest_of(policy)],
    "refused": [refused(Policy, rpo=0), refused(Policy.load, "wrong.toml")],
}))
"""


@pytest.fixture(scope="module")
def page() -> str:
    """Return the page of a report without appliances."""
    time = "2026-11-02T00:00:00Z"
    empty = (ASSESSED_JOBS.empty(), POLLS.empty(), SCHEDULES.empty())
    a = bk.evaluate_frames(*empty, Policy(), start="2026-11-01T00:00:00Z", end=time, now=time)
    return bk.report(a).html()


@pytest.mark.parametrize("name", PARAMETERS)
def test_is_everywhere(name: str, page: str) -> None:
    """A parameter is in the documentation, the report, its JSON, and in error messages."""
    parameter, policy = PARAMETERS[name], Policy()
    assert f"{name} : {parameter.kind.accepts}" in str(Policy.__doc__)
    assert f"| `{name}` |" in (ROOT / "docs" / "sla.md").read_text(encoding="utf-8")
    assert f'<th scope="row" class="plain">{parameter.label}</th>' in page
    wrong: dict[str, Any] = {name: object()}
    with pytest.raises(SettingsError) as caught:
        Policy(**wrong)
    message = f'"{name}" must be {parameter.kind.must_be}, got <object '
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(f"; for example: {parameter.example}")
    assert getattr(policy, name) == parameter.parse(parameter.default)


@pytest.mark.parametrize("name", PARAMETERS)
def test_its_example_is_valid(name: str, tmp_path: Path) -> None:
    """The example in an error message is valid in fleet.toml."""
    path = tmp_path / "fleet.toml"
    for entry in PARAMETERS[name].example.partition(" = ")[2].split(" or "):
        path.write_text(f"[policy]\n{name} = {entry}\n", encoding="utf-8")
        assert getattr(Policy.load(path), name) is not None


def test_one_place(tmp_path: Path) -> None:
    """Another default of the RPO is one line, and a new parameter is one declaration."""
    shutil.copytree(ROOT / "backupkit", tmp_path / "backupkit")
    (tmp_path / "docs").mkdir()
    for name in ("generate.py", "sla.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    source = (tmp_path / DECLARATIONS).read_text(encoding="utf-8")
    assert source.count('"24h",\n') == source.count("\n    @property\n    def threshold(") == 1
    source = source.replace('"24h",\n', '"36h",\n')
    source = source.replace("\n    @property\n    def threshold(", ADDED)
    (tmp_path / DECLARATIONS).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    shown = json.loads(done.stdout)
    assert (shown["page"]["RPO"], shown["page"]["Patience"]) == ("36 h", "5 h")
    assert shown["page"]["In breach beyond"] == "38 h"
    assert (shown["json"]["rpo_seconds"], shown["json"]["patience_seconds"]) == (129_600, 18_000)
    assert shown["schema"]["patience_seconds"]["type"] == "number"
    assert shown["rules"]["patience"] == "0 days 05:00:00"
    assert '| `rpo` | `"36h"` |' in shown["docs"]
    assert '| `patience` | `"3h"` | a duration of 0 or longer | A parameter' in shown["docs"]
    assert "    patience : str or timedelta\n" in shown["docstring"]
    assert len(set(shown["digests"])) == 2
    assert shown["refused"][0].endswith('got 0; for example: rpo = "36h"')
    assert '[policy]: "patience" must be a duration of 0' in shown["refused"][1]


@pytest.mark.parametrize("name", PARAMETERS)
def test_digest(name: str) -> None:
    """The digest depends on every parameter of the policy and of named policies."""
    other: dict[str, Any] = {
        "rpo": "12h",
        "anchor": "end",
        **dict.fromkeys(("target", *TARGETS.values()), 0.5),
        "report_timezone": "Europe/Berlin",
        "count_local": True,
        "unknown_mode": "evidence",
        "backup_day": "11:00",
        "retention": 7,
        "parts": ["seat"],
        "window": "01:00-02:00",
        "schedule": "01:00",
    }
    changed = Policy(**{name: other.get(name, "3h")})
    assert digest_of(changed) != digest_of(Policy())
    assert digest_of(Policy(named={"a": changed})) != digest_of(Policy(named={"a": Policy()}))
    assert digest_of(Policy(changes={"2026-11-01": changed})) != digest_of(changed)
