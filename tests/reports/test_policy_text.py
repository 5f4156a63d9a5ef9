"""The policy as the text of a fleet.toml that only assesses."""

from pathlib import Path

import pytest

from backupkit.policy import Policy
from backupkit.policy.policy import digest_of
from backupkit.reports.policy_text import format_policy

EXAMPLE = Path(__file__).parents[2] / "data" / "fleet.example.toml"
EVERY_KIND = """
appliance = [
  { name = "vc-1", host = "vc-1.test", user = "secret", site = "H \\"1\\"", policy = "weekly" },
  { name = "vc-2", host = "vc-2.test", exclude = "retired", timezone = "Asia/Tokyo" },
]
[defaults]
user = "reader@vsphere.local"
password = { env = "SECRET_VARIABLE" }
[policy]
rpo = "36h"
grace = "0.5s"
count_local = true
window = "22:00-06:00"
backup_day = "12:00"
parts = ["common", "seat"]
retention = 14
target = 0.985
report_timezone = "Europe/Berlin"
[[policy.change]]
valid_from = 2026-06-01T00:00:00Z
late = "2h"
[[policy.exclude]]
reason = "storage move"
sites = ["Tokyo"]
start = 2026-03-07T20:00:00Z
[[policy.exclude]]
reason = "test"
appliances = ["vc-2"]
end = 2026-03-08T06:00:00Z
[policy."weekly"]
rpo = "7d"
groups = ["edge"]
schedule = { time = "01:00", days = ["SUNDAY"] }
[[policy.weekly.change]]
valid_from = 2026-07-01T00:00:00Z
rpo = "8d"
"""


@pytest.mark.parametrize("text", [EVERY_KIND, EXAMPLE.read_text(encoding="utf-8")])
def test_same_policy(tmp_path: Path, text: str) -> None:
    """The text is that of an equal policy, and holds neither users nor passwords."""
    original = tmp_path / "fleet.toml"
    original.write_text(text, encoding="utf-8")
    policy = Policy.load(original)
    written = tmp_path / "policy.toml"
    written.write_text(format_policy(policy), encoding="utf-8")
    assert digest_of(Policy.load(written)) == digest_of(policy)
    content = written.read_text(encoding="utf-8")
    assert "reader" not in content
    assert "secret" not in content.lower()
    assert "PASSWORD" not in content
