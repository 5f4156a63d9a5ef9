"""Filters: the alerts that a channel chooses, and errors of their tables."""

from pathlib import Path
from typing import Any

import pytest

from backupkit.alerts import AlertSettings
from backupkit.alerts.filters import ChannelFilter
from backupkit.errors import SettingsError
from backupkit.tables.alerts import Alert

FLEET = """
[defaults]
user = "u"
password = { env = "VCSA_PASSWORD" }
[[appliance]]
name = "vc-ham-01"
host = "vc-ham-01"
site = "Hamburg"
group = "production"
[[appliance]]
name = "vc-tyo-01"
host = "vc-tyo-01"
site = "Tokyo"
[alert.webhook.ops]
url = "https://ops.example.com/x"
[alert.webhook.pager]
url = "https://pager.example.com/x"
"""
BREACH = Alert(kind="breach", subject="vc-ham-01", site="Hamburg", group="production", level=1)
UNKNOWN = Alert(kind="unknown", subject="vc-tyo-01", site="Tokyo", level=1)
FLEET_TARGET = Alert(kind="target", subject="fleet", level=1)
MISSED_TARGET = Alert(kind="target", subject="fleet", level=2)
SITE_TARGET = Alert(kind="target", subject="site Hamburg", site="Hamburg", level=1)
ALL = [BREACH, UNKNOWN, FLEET_TARGET, MISSED_TARGET, SITE_TARGET]


def load(folder: Path, text: str) -> AlertSettings:
    """Load the settings of a fleet with two channels, and a text."""
    path = folder / "fleet.toml"
    path.write_text(FLEET + text, encoding="utf-8")
    found = AlertSettings.load(path)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ALL),
        ({"kinds": ("breach", "unknown")}, [BREACH, UNKNOWN]),
        ({"min_severity": "critical"}, [BREACH, MISSED_TARGET]),
        ({"sites": ("Hamburg",)}, [BREACH, SITE_TARGET]),
        ({"sites": ("Hamburg", "Tokyo"), "kinds": ("unknown",)}, [UNKNOWN]),
        ({"groups": ("production",)}, [BREACH]),
        ({"groups": ("",)}, [UNKNOWN]),
        ({"groups": ("production", "")}, [BREACH, UNKNOWN]),
        ({"appliances": ("vc-tyo-01",)}, [UNKNOWN]),
        ({"appliances": ("fleet",)}, []),
        (
            {"sites": ("Hamburg",), "fleet": True},
            [BREACH, FLEET_TARGET, MISSED_TARGET, SITE_TARGET],
        ),
        ({"fleet": False}, [BREACH, UNKNOWN, SITE_TARGET]),
        ({"fleet": True, "min_severity": "critical"}, [BREACH, MISSED_TARGET]),
    ],
)
def test_chooses(chosen: dict[str, Any], expected: list[Alert]) -> None:
    """An alert must match each key, and one name of it; one of the fleet has no site."""
    chosen_filter = ChannelFilter(**chosen)
    assert [one for one in ALL if chosen_filter.chooses(one)] == expected


def test_none(tmp_path: Path) -> None:
    """Without a table, each channel gets all."""
    found = load(tmp_path, "")
    assert [found.choose_channels(one) for one in ALL] == [["ops", "pager"]] * 5


def test_loaded(tmp_path: Path) -> None:
    """Each key is read; a channel without a table gets all."""
    found = load(
        tmp_path,
        '[alert.filter.pager]\nkinds = ["breach", "target"]\nmin_severity = "critical"\n'
        'sites = ["Hamburg"]\ngroups = ["production", ""]\nappliances = ["vc-ham-01"]\n'
        "fleet = true\n",
    )
    assert found.filters == {
        "pager": ChannelFilter(
            kinds=("breach", "target"),
            min_severity="critical",
            sites=("Hamburg",),
            groups=("production", ""),
            appliances=("vc-ham-01",),
            fleet=True,
        )
    }
    assert found.choose_channels(BREACH) == ["ops", "pager"]
    assert found.choose_channels(UNKNOWN) == ["ops"]


@pytest.mark.parametrize(
    ("table", "text", "problem"),
    [
        ("chat", "", 'filter: "chat" is no channel; there are "ops", "pager".'),
        (
            "pager",
            'kinds = ["fire"]',
            'filter.pager: kinds: "fire" is no kind of alert that [alert] sends; there are "br',
        ),
        (
            "pager",
            'min_severity = "high"',
            'min_severity: "high" is no severity; there are "warning", "critical".',
        ),
        (
            "pager",
            'sites = ["hamburg"]',
            'sites: "hamburg" is no site; there are "Hamburg", "Tokyo". Did you mean "Hamburg"?',
        ),
        ("pager", 'sites = [""]', 'sites: "" is no site'),
        ("pager", 'groups = ["edge"]', 'groups: "edge" is no group; there are "production", "".'),
        (
            "pager",
            'appliances = ["vc-9"]',
            'appliances: "vc-9" is no appliance; there are "vc-ham-01", "vc-tyo-01".',
        ),
        ("pager", "kinds = []", "kinds is empty, which chooses nothing. Leave kinds out for all."),
        (
            "pager",
            'sites = ["Tokyo"]\ngroups = ["production"]',
            "no appliance matches all of sites, groups and appliances.",
        ),
        ("pager", "loud = true", 'unknown key "loud"'),
        ("pager", 'kinds = "breach"', "kinds"),
    ],
)
def test_wrong(tmp_path: Path, table: str, text: str, problem: str) -> None:
    """A wrong entry is an error that names the table and lists the names that exist."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"[alert.filter.{table}]\n{text}\n")
    assert problem in str(caught.value)
    assert "fleet.toml, [alert]" in str(caught.value)


def test_many_names(tmp_path: Path) -> None:
    """A long list of names is cut."""
    more = "".join(f'[[appliance]]\nname = "vc-{n}"\nhost = "vc-{n}"\n' for n in range(20))
    with pytest.raises(SettingsError, match=r'"vc-7" and 12 more\. Did you mean "vc-1'):
        load(tmp_path, f'{more}[alert.filter.ops]\nappliances = ["vc-1x"]\n')


def test_kind_switched_off(tmp_path: Path) -> None:
    """A kind that [alert] does not send cannot be chosen."""
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[alert]\nkinds = ["breach"]\n[alert.webhook.ops]\nurl = "https://ops.example.com/x"\n'
        '[alert.filter.ops]\nkinds = ["failure"]\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError, match='sends; there are "breach"'):
        AlertSettings.load(path)


def test_without_appliances(tmp_path: Path) -> None:
    """A fleet.toml with a policy alone takes its appliances from the history: any name is valid."""
    path = tmp_path / "fleet.toml"
    text = '[alert.webhook.ops]\nurl = "https://ops.example.com/x"\n[alert.filter.ops]\n'
    path.write_text(f'{text}appliances = ["vc-7"]\n', encoding="utf-8")
    found = AlertSettings.load(path)
    assert found is not None
    assert found.choose_channels(Alert(kind="breach", subject="vc-7", level=1)) == ["ops"]
    path.write_text(f'{text}sites = ["Tokyo"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match='"Tokyo" is no site; there is none'):
        AlertSettings.load(path)
