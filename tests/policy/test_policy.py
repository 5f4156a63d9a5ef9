"""The policy: numbers, file and rules."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backupkit.errors import SettingsError
from backupkit.policy import PARAMETERS, Member, Policy

RPO = PARAMETERS["rpo"].example

FLEET = """
[defaults]
user = "reader@vsphere.local"
password = { env = "VCSA_PASSWORD" }

[policy]
rpo = "24h"
grace = "1h"
target = 1

[policy.gold]
rpo = "4h"
completion = "2h"

[policy.relaxed]
unknown_mode = "evidence"
anchor = "end"
staleness = "1d"

[[appliance]]
name = "vc-2"
host = "vc-2.test"
policy = "gold"
site = "Hamburg"
group = "production"
timezone = "Europe/Berlin"

[[appliance]]
name = "vc-1"
host = "vc-1.test"
exclude = "being retired"

[[appliance]]
name = "vc-3"
host = "vc-3.test"
enabled = false
"""


def write(folder: Path, text: str) -> Path:
    """Write a fleet.toml."""
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return path


class TestPolicy:
    """`Policy`."""

    def test_defaults(self) -> None:
        """The default is a nightly backup with two hours of grace."""
        policy = Policy()
        assert policy.rpo == timedelta(hours=24)
        assert policy.threshold == timedelta(hours=26)
        assert (policy.early, policy.late) == (timedelta(hours=1), timedelta(hours=1))
        assert (policy.completion, policy.staleness) == (None, None)
        assert (policy.anchor, policy.unknown_mode, policy.target) == ("start", "strict", 0.99)

    def test_text_and_timedelta_are_the_same(self) -> None:
        """Durations may be text or a timedelta of pandas or of the standard library."""
        assert Policy(rpo="90m") == Policy(rpo=timedelta(minutes=90))
        assert Policy(rpo=pd.Timedelta(minutes=90)) == Policy(rpo="1h30m")
        assert type(Policy(rpo=pd.Timedelta(minutes=90)).rpo) is timedelta

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (
                {"rpo": "0h"},
                f"\"rpo\" must be a duration longer than 0, got '0h'; for example: {RPO}",
            ),
            ({"rpo": "soon"}, "\"rpo\" must be a duration longer than 0, got 'soon'"),
            ({"rpo": 24}, f'"rpo" must be a duration longer than 0, got 24; for example: {RPO}'),
            ({"rpo": pd.NaT}, '"rpo" must be a duration longer than 0, got NaT'),
            ({"grace": timedelta(hours=-1)}, '"grace" must be a duration of 0 or longer'),
            ({"completion": "0h"}, '"completion" must be a duration longer than 0'),
            ({"staleness": timedelta(-1)}, '"staleness" must be a duration of 0 or longer'),
            ({"anchor": "middle"}, "\"anchor\" must be one of start, end, got 'middle'"),
            ({"count_local": 1}, '"count_local" must be true or false'),
            ({"unknown_mode": "hope"}, '"unknown_mode" must be one of strict, evidence'),
            ({"target": 0}, '"target" must be a number above 0 and at most 1, got 0'),
            ({"target": 99}, "got 99; for example: target = 0.99"),
            ({"target": float("nan")}, "got nan"),
            ({"target": "0.99"}, "got '0.99'"),
            ({"target": True}, "got True"),
            (
                {"members": [Member(appliance="vc-1", policy="gold")]},
                'appliance "vc-1": policy = "gold" names no policy (there are: none)',
            ),
        ],
    )
    def test_wrong_values(self, wrong: dict[str, Any], message: str) -> None:
        """A wrong value is an error with an example of a right one."""
        with pytest.raises(SettingsError) as caught:
            Policy(**wrong)
        assert message in str(caught.value)

    def test_cannot_be_changed(self) -> None:
        """A policy is immutable, its numbers and its named policies."""
        policy = Policy(named={"gold": Policy(rpo="4h")})
        with pytest.raises(AttributeError):
            policy.rpo = timedelta(hours=1)
        with pytest.raises(TypeError):
            policy.named["silver"] = Policy()  # type: ignore[index] # what the test is about

    def test_words(self) -> None:
        """The text of a policy has its numbers in one line."""
        policy = Policy(
            rpo="1d",
            grace="90s",
            late="0h",
            completion="4h",
            staleness="36h",
            anchor="end",
            unknown_mode="evidence",
            target=0.999,
        )
        assert str(policy) == (
            "RPO 24 h + 1 min 30 s grace, recovery point = job end, runs 1 h early to 0 h late, "
            "done within 4 h, answers count for 36 h, unknown once the last recovery point is too "
            "old, target 99.9 %"
        )
        assert str(Policy(target=1)).endswith("target 100 %")

    def test_words_of_other_rpos(self) -> None:
        """An appliance with an RPO of its own is not described by the RPO of the others."""
        members = [Member(appliance="a", policy="slow"), Member(appliance="b")]
        policy = Policy(rpo="1d", members=members, named={"slow": Policy(rpo="7d")})
        assert str(policy).endswith("; RPO 7 d + 2 h grace for 1 appliance")
        names = "abcd"
        members = [Member(appliance=name, policy=name) for name in names]
        named = {name: Policy(rpo=f"{place + 2}d") for place, name in enumerate(names)}
        policy = Policy(rpo="1d", members=members, named=named)
        assert str(policy).endswith("; other RPOs for 4 appliances")


class TestLoad:
    """`Policy.load`."""

    def test_inherits(self, tmp_path: Path) -> None:
        """A named policy inherits from [policy] what it does not set itself."""
        policy = Policy.load(write(tmp_path, FLEET))
        gold, relaxed = policy.named["gold"], policy.named["relaxed"]
        assert (gold.rpo, gold.grace) == (timedelta(hours=4), timedelta(hours=1))
        assert gold.completion == timedelta(hours=2)
        assert (relaxed.anchor, relaxed.unknown_mode) == ("end", "evidence")
        assert relaxed.staleness == timedelta(days=1)
        assert (policy.completion, policy.target) == (None, 1.0)

    def test_members(self, tmp_path: Path) -> None:
        """Each enabled appliance is a member, with its values from the file."""
        members = Policy.load(write(tmp_path, FLEET)).members
        assert members == (
            Member(
                appliance="vc-2",
                host="vc-2.test",
                site="Hamburg",
                group="production",
                timezone="Europe/Berlin",
                policy="gold",
            ),
            Member(appliance="vc-1", host="vc-1.test", exclude="being retired"),
        )

    def test_without_a_policy(self, tmp_path: Path) -> None:
        """A file without [policy] has the defaults."""
        assert Policy.load(write(tmp_path, "")) == Policy()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("policy = 1", "policy must be a table: [policy]"),
            ("[policy]\nrp = '1h'", '[policy]: unknown key "rp"; did you mean "rpo"?'),
            (
                "[policy]\nrpo = 24",
                f'[policy]: "rpo" must be a duration longer than 0, got 24; for example: {RPO}',
            ),
            (
                "[policy]\nrpo = { gold = 1 }",
                '[policy]: "rpo" must be a duration longer than 0, got {',
            ),
            ("[policy]\nrpo = '0h'", '[policy]: "rpo" must be a duration longer than 0'),
            ("[policy.gold]\ntarget = 2", '[policy.gold]: "target" must be a number above 0'),
            (
                "[policy.gold]\nrpo = ''",
                "[policy.gold]: \"rpo\" must be a duration longer than 0, got ''",
            ),
            (FLEET.replace('"gold"', '"golden"'), 'policy = "golden" names no policy'),
            ("[polici]", 'unknown table "polici"'),
        ],
    )
    def test_wrong_entries(self, tmp_path: Path, text: str, message: str) -> None:
        """A wrong entry is an error that names file, table and key."""
        path = write(tmp_path, text)
        with pytest.raises(SettingsError) as caught:
            Policy.load(path)
        assert str(caught.value).startswith(str(path))
        assert message in str(caught.value)


class TestRules:
    """`Policy.rules`."""

    def test_each_its_own(self, tmp_path: Path) -> None:
        """Each member has the numbers of its policy; another appliance has the defaults."""
        rules = Policy.load(write(tmp_path, FLEET)).rules(["vc-9", "vc-1"])
        assert rules.index.to_list() == ["vc-1", "vc-2", "vc-9"]
        hours = rules["threshold"].dt.total_seconds() / 3_600
        assert hours.to_dict() == {"vc-1": 25, "vc-2": 5, "vc-9": 25}
        assert rules["configured"].to_dict() == {"vc-1": True, "vc-2": True, "vc-9": False}
        assert rules["exclude"].dropna().to_dict() == {"vc-1": "being retired"}
        assert rules["timezone"].dropna().to_dict() == {"vc-2": "Europe/Berlin"}
        assert rules["completion"].notna().to_dict() == {"vc-1": False, "vc-2": True, "vc-9": False}

    def test_dtypes(self) -> None:
        """The dtypes are the same with and without rows."""
        filled, empty = Policy().rules(["vc-1"]), Policy().rules()
        assert filled.dtypes.astype(str).to_dict() == empty.dtypes.astype(str).to_dict()
        assert str(filled["staleness"].dtype) == "timedelta64[us]"
        assert str(filled["site"].dtype) == "str"

    def test_without_members_all_are_configured(self) -> None:
        """Without members all appliances of the data are configured."""
        assert Policy().rules(["vc-1"])["configured"].all()
