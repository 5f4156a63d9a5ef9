"""Facts on the page."""

import re

import pandas as pd

from backupkit.assessment import Assessment, describe_causes, evaluate_frames
from backupkit.policy import Policy
from backupkit.reports.exports import format_messages
from backupkit.reports.mail import compose_mail
from backupkit.reports.page import render_page
from backupkit.reports.period import PERIOD_OVER
from backupkit.reports.summary import summarize
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import (
    END,
    START,
    assess,
    assess_large_fleet,
    frame,
    job,
    message,
    nights,
    poll,
    schedule,
)


class TestActs:
    """Appliances that need attention."""

    def test_breaches_then_those_at_risk(self, week: Assessment) -> None:
        """Breaches come first, then compliant appliances whose newest run failed."""
        items = summarize(week).action_items
        assert [(a.appliance.name, a.state.kind) for a in items] == [
            ("vc-off", "breach"),
            ("vc-silent", "breach"),
            ("vc-strikes", "breach"),
            ("vc-running", "breach"),
            ("vc-shaky", "late"),
        ]

    def test_since_when(self, week: Assessment) -> None:
        """An appliance in breach has the time since when, also in the mail; at risk it is ""."""
        items = {item.appliance.name: item.breach_since for item in summarize(week).action_items}
        assert items["vc-off"] == (pd.Timestamp("2026-11-05T03:00Z"), "")
        assert items["vc-shaky"].__html__() == ""
        page = render_page(week)
        first = page.partition('id="act"')[2].partition("</section>")[0]
        assert '<span class="w">2026-11-05 03:00</span>' in first
        everyone = page.partition('id="appliances"')[2]
        assert '<td><span class="w">2026-11-05 03:00</span></td>' in everyone
        for kind in ("plain", "html"):
            body = compose_mail(week).get_body((kind,))
            assert body is not None
            assert "in breach since 2026-11-05 03:00 UTC" in body.get_content()
            assert body.get_content().count("in breach since") == 4

    def test_never_backed_up(self) -> None:
        """An appliance without any success is in breach since it is known, and named so."""
        week = assess(nights("vc-1", "ffffffff"), [poll("vc-1")], [schedule("vc-1")])
        [item] = summarize(week).action_items
        assert item.breach_since.__html__() == (
            '<span class="w">2026-11-02 03:00</span><br>never backed up'
        )
        assert "2026-11-02 03:00, never backed up</td>" in str(week._repr_html_())
        body = compose_mail(week).get_body(("plain",))
        assert body is not None
        assert "in breach since 2026-11-02 03:00 UTC, never backed up, exposure over 7 d 23 h" in (
            body.get_content()
        )

    def test_soon_in_breach(self) -> None:
        """A breach that no run can prevent stands before those at risk, and in the verdict."""
        names = [f"vc-{number}" for number in range(7)]
        end = pd.Timestamp("2026-11-08T21:00Z")
        extra = pd.Timestamp("2026-11-08T05:00Z")
        week = assess(
            [
                *(row for name in names for row in nights(name, "ssssssss")),
                job("vc-0", 6, "failure", job_id="x", start_time=extra, end_time=extra),
                *nights("vc-8", "ssssssss"),
                job("vc-8", 6, "failure", job_id="x", start_time=extra, end_time=extra),
            ],
            [poll(name, end) for name in (*names, "vc-8")],
            [schedule("vc-8")],
            end=end,
        )
        summary = summarize(week)
        *soon, risky = summary.action_items
        assert [item.state.label for item in soon] == ["◐ Breach soon"] * 7
        assert (risky.appliance.name, risky.state.label) == ("vc-8", "◐ At risk")
        text = (
            "will be in breach in 6 h, from 2026-11-09 03:00 UTC, unless a backup is started by"
            " hand: no scheduled run can end before; "
        )
        reasons = {item.appliance.name: item.reason for item in soon}
        assert reasons["vc-1"] == f"{text}no schedule"
        assert reasons["vc-0"].startswith(f"{text}the last attempt failed")
        sentence = (
            "7 compliant appliances will be in breach within a day unless a backup is started by"
            " hand: vc-0 in 6 h, vc-1 in 6 h, vc-2 in 6 h, vc-3 in 6 h, vc-4 in 6 h and 2 more"
        )
        assert summary.coming == sentence
        assert f"<strong>Soon:</strong> {sentence}." in render_page(week)
        for kind in ("plain", "html"):
            body = compose_mail(week).get_body((kind,))
            assert body is not None
            assert sentence in body.get_content()

    def test_a_breach_to_come_without_another_reason(self) -> None:
        """A run that is planned too late is the only reason."""
        end = pd.Timestamp("2026-11-08T21:00Z")
        late = [schedule("vc-1", hour=2, minute=50, days=["MONDAY"])]
        slots = [job("vc-1", night, "success") for night in range(7)]
        week = assess(slots, [poll("vc-1", end)], late, end=end)
        [item] = summarize(week).action_items
        assert item.reason.endswith(": no scheduled run can end before")
        assert summarize(week).coming.startswith("1 compliant appliance will be in breach")

    def test_the_step_fits_the_problem(self, week: Assessment) -> None:
        """Each kind of problem has its own next step."""
        steps = {a.appliance.name: a.advice for a in summarize(week).action_items}
        assert "Enable its schedule" in steps["vc-off"]
        assert "a run did not start" in steps["vc-silent"]
        assert steps["vc-strikes"] == (
            "The cause is not known: read /var/log/vmware/applmgmt/backup.log around "
            "2026-11-08 01:20 UTC. Then start a backup by hand."
        )
        assert "running since 2026-11-08 01:00 UTC" in steps["vc-running"]

    def test_equal_steps_are_written_once(self) -> None:
        """Of appliances with one cause the first has the whole step, and the others name it."""
        full = {"messages": [message("No space left on device", "m")]}
        names = ("a", "b")
        jobs = [job(name, night, "failure", **full) for name in names for night in (5, 6)]
        rows = [*(job(name, 1) for name in names), *jobs]
        found = assess(rows, [*map(poll, names)], [*map(schedule, names)])
        first, second = (item.advice for item in summarize(found).action_items)
        assert first.startswith("The backup target has no free space. Check free space")
        assert first.endswith("Then start a backup by hand.")
        assert second == "The backup target has no free space. As for a."

    def test_a_period_that_is_over(self) -> None:
        """After the end of a period one note replaces the next steps, on page and in mail."""
        frames = frame(JOBS, nights("a", "ss......")), frame(POLLS, [poll("a")])
        late = evaluate_frames(
            *frames,
            frame(SCHEDULES, [schedule("a")]),
            Policy(),
            start=START,
            end=END,
            now=END + pd.Timedelta(days=9),
        )
        [item] = summarize(late).action_items
        assert item.advice == ""
        html = render_page(late)
        assert html.count(PERIOD_OVER) == 1
        assert '<th scope="col">Next step</th>' not in re.sub(
            "(?s).*<section id=.act.|</section>.*", "", html
        )
        mail = compose_mail(late)
        for kind in ("plain", "html"):
            body = mail.get_body((kind,))
            assert body is not None
            assert body.get_content().count(PERIOD_OVER) == 1


class TestUnread:
    """Unreachable appliances."""

    def test_equal_steps_are_written_once(self) -> None:
        """Of appliances with the same error the first has the step, and the others name it."""
        polls = [poll(name, END, "unreachable") for name in ("a", "b")]
        first, second = (row.advice for row in summarize(assess([], polls)).unread)
        assert "HTTPS port" in first
        assert second == "As for a."

    def test_error_and_step(self, week: Assessment) -> None:
        """A failed poll has its error and its start; an appliance without a poll is listed, too."""
        gone, never = summarize(week).unread
        assert (gone.appliance.name, gone.error, gone.failing_since, gone.last_ok.age) == (
            "vc-gone",
            "certificate",
            pd.Timestamp("2026-11-08T00:00Z"),
            "48 h ago",
        )
        assert "fingerprint" in gone.advice
        assert (never.appliance.name, never.error, never.last_ok.age) == (
            "vc-never",
            "not polled recently",
            "",
        )


class TestFigures:
    """The key figures."""

    def test_each_has_its_fraction(self, week: Assessment) -> None:
        """A percentage has its numerator and denominator."""
        figures = {f.name: f for f in summarize(week).figures}
        strict = figures["inside their RPO (strict)"].ratio
        assert (strict.percent, strict.fraction) == ("25.0 %", "2 of 8 appliances")

    def test_every_percentage_on_the_page_has_its_fraction(self, week: Assessment) -> None:
        """Every percentage has its fraction, except targets and the progress of running jobs."""
        text = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", "", render_page(week), flags=re.DOTALL)
        lonely = re.findall(r"\d %(?! \()", re.sub("target\\s*99 %", "", text, flags=re.IGNORECASE))
        assert lonely == []


class TestPeriod:
    """The text of the period."""

    def test_a_start_within_a_day_shows_its_time(self, week: Assessment) -> None:
        """A period that does not begin at midnight has the minute."""
        shifted = week.replaced(start=week.start + pd.Timedelta(hours=6))
        assert summarize(shifted).period == "2026-11-02 06:00 to 2026-11-09 00:00 UTC"

    def test_newest_data(self, week: Assessment) -> None:
        """The page says until when it has data, or that nothing was polled in the period."""
        assert summarize(week).newest_data == "data up to 2026-11-09 00:00 UTC"
        assert summarize(assess()).newest_data == "no poll in the period"


class TestSignatures:
    """Failure causes."""

    def test_names_beyond_five_are_counted(self) -> None:
        """A signature names five appliances and counts the others."""
        (signature,) = summarize(assess_large_fleet(120)).signatures
        assert len(signature.appliances.links) == 5
        assert signature.appliances.omitted == signature.appliances.total - 5

    def test_missing_lists_are_empty(self, week: Assessment) -> None:
        """A signature without builds and targets has empty lists."""
        bare = week.failures.assign(
            builds=pd.Series([None], dtype=week.failures["builds"].dtype),
            targets=pd.Series([None], dtype=week.failures["targets"].dtype),
        )
        (signature,) = summarize(week.replaced(failures=bare)).signatures
        assert signature.origin == ""


class TestCauses:
    """The sentence about the causes of all failures."""

    @staticmethod
    def describe(**patterns: tuple[int, str | None]) -> str:
        """Describe error patterns, each with its number of jobs and the name of its cause."""
        rows = [
            (name, jobs, cause, cause and f"The {cause} is wrong.")
            for name, (jobs, cause) in patterns.items()
        ]
        columns = ["signature", "jobs", "cause_name", "cause"]
        return describe_causes(pd.DataFrame(rows, columns=columns), appliances=2)

    def test_one_cause(self) -> None:
        """Two error patterns of one cause are one cause."""
        assert self.describe(a=(3, "disk"), b=(4, "disk")) == (
            "7 failed jobs on 2 appliances, all by one cause (The disk is wrong)."
        )

    def test_several(self) -> None:
        """The most frequent cause is named, the others and what is not known are counted."""
        assert self.describe(a=(3, "disk"), b=(4, "user"), c=(2, None)) == (
            "9 failed jobs on 2 appliances: 4 by one cause (The user is wrong), 3 by 1 other cause,"
            " 2 without a known cause."
        )
        assert self.describe(a=(3, "disk"), b=(4, "user"), c=(2, "net")) == (
            "9 failed jobs on 2 appliances: 4 by one cause (The user is wrong), "
            "5 by 2 other causes."
        )

    def test_a_message_without_a_reason(self) -> None:
        """A message that only says that the job failed is no cause, although it is a known one."""
        assert self.describe(a=(3, "disk"), b=(4, "see-log")) == (
            "7 failed jobs on 2 appliances: 3 by one cause (The disk is wrong), "
            "4 without a known cause."
        )

    def test_different_causes(self) -> None:
        """A pattern whose messages have different causes has no known cause, and is counted."""
        rows = [["a", 4, "disk", "The disk is wrong."], ["b", 3, None, "Different causes: ..."]]
        columns = ["signature", "jobs", "cause_name", "cause"]
        assert describe_causes(pd.DataFrame(rows, columns=columns), appliances=2) == (
            "7 failed jobs on 2 appliances: 4 by one cause (The disk is wrong), "
            "3 without a known cause."
        )

    def test_no_message(self) -> None:
        """A single failure without a message has a pattern without a text."""
        failures = pd.DataFrame(
            {"signature": [None], "jobs": [1], "cause_name": [None], "cause": [None]}
        )
        assert describe_causes(failures, appliances=1) == (
            "1 failed job on 1 appliance, without a known cause (“no message”)."
        )

    def test_on_page_and_in_mail(self, week: Assessment) -> None:
        """The verdict says it, on the page, in the mail; without failures it says that."""
        sentence = summarize(week).causes
        assert sentence.startswith("4 failed jobs on 2 appliances, all without a known cause")
        assert f"<strong>Failures:</strong> {sentence}" in render_page(week)
        body = compose_mail(week).get_body(("plain",))
        assert body is not None
        assert f"Failures: {sentence}" in body.get_content()
        assert summarize(assess()).causes == "No backup job failed in this period."


class TestMessagesText:
    """`format_messages`."""

    def test_the_most_readable_form(self) -> None:
        """A message is its localized text, else its default, else its id; each is a line."""
        messages = [
            {"id": "a", "default_message": "b", "localized": "c"},
            {"id": "a", "default_message": "b", "localized": None},
            {"id": "a", "default_message": None, "localized": None},
            {"id": None, "default_message": None, "localized": None},
        ]
        assert format_messages(messages) == "c\nb\na"

    def test_missing(self) -> None:
        """A missing list has no text."""
        assert format_messages(pd.NA) == ""
