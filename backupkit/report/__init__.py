"""The report: an assessment as one HTML file that can be mailed, with its data beside it."""

from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path

from backupkit.assessment import Assessment, Comparison, compare
from backupkit.report.files import write_files
from backupkit.report.key_file import read_key, write_key
from backupkit.report.mail import compose
from backupkit.report.page import fragment, page
from backupkit.report.redaction import redact
from backupkit.report.sidecars import jobs_csv, json_document, slots_csv
from backupkit.report.summary import summarize
from backupkit.report.workbook import workbook

__all__ = ["Report", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """One assessment, ready to be shown, saved or mailed.

    Attributes
    ----------
    assessment : Assessment
        What it is about.
    before : Assessment, optional
        An earlier judgement of the same fleet: the report tells what changed since.
    aliased : bool
        Whether aliases stand in the place of names; then the report says so.
    """

    assessment: Assessment
    before: Assessment | None = None
    aliased: bool = False

    @property
    def title(self) -> str:
        """The verdict, the subject and the period in one line."""
        return summarize(self.assessment).title

    @property
    def comparison(self) -> Comparison | None:
        """What changed since the earlier judgement; None without one."""
        return None if self.before is None else compare(self.before, self.assessment)

    def html(self) -> str:
        """Render the document.

        Returns
        -------
        str
            One self-contained HTML page; the same assessment gives the same text.
        """
        return page(self.assessment, self.comparison, aliased=self.aliased)

    def save(self, path: str | Path, *, xlsx: bool = False) -> tuple[Path, ...]:
        """Write the page, and beside it its data.

        Parameters
        ----------
        path : str or Path
            The page's file. The data go to the same name with ``.json`` (everything), ``.csv``
            (one row per expected run) and ``.jobs.csv`` (one row per job).
        xlsx : bool
            Whether to write a spreadsheet, ``.xlsx``, too; it needs ``backupkit[xlsx]``.

        Returns
        -------
        tuple of Path
            The files, the page first.

        Raises
        ------
        OutputError
            If a file cannot be written; none is put in place before all are written.
        """
        target = Path(path)
        beside = {
            target.with_suffix(".json"): json_document(self.assessment, aliased=self.aliased),
            target.with_suffix(".csv"): slots_csv(self.assessment),
            target.with_suffix(".jobs.csv"): jobs_csv(self.assessment.jobs),
        }
        if xlsx:
            beside[target.with_suffix(".xlsx")] = workbook(self.assessment)
        html = page(
            self.assessment,
            self.comparison,
            sidecars=tuple(file.name for file in beside),
            aliased=self.aliased,
        )
        return write_files({target: html.encode(), **beside})

    def message(self, attachments: tuple[Path, ...] = ()) -> EmailMessage:
        """Compose the mail: verdict and the worst in its body.

        Parameters
        ----------
        attachments : tuple of Path
            The files to attach, such as the first that `save` gave.

        Returns
        -------
        EmailMessage
            For `backupkit.mail.MailServer.send`.
        """
        return compose(
            self.assessment, self.comparison, attachments=attachments, aliased=self.aliased
        )

    def redacted(self, secret: bytes) -> "Report":
        """Put stable aliases in the place of names.

        Parameters
        ----------
        secret : bytes
            What the aliases are made with: the same gives the same ones again, such as
            `History.identity`. Who does not know it cannot tell what they stand for.

        Returns
        -------
        Report
            Without the names of appliances, sites, groups, hosts, users, places and schedules, in
            messages too; its figures are the same.
        """
        return self._redacted(secret)[0]

    def redacted_by(self, key_file: str | Path) -> "Report":
        """Put aliases in the place of names, and keep in a file what they stand for.

        Parameters
        ----------
        key_file : str or Path
            Where the key is kept, readable by its owner alone. If it is there already, names have
            the same aliases as before; else it is made.

        Returns
        -------
        Report
            As `redacted` gives it.

        Raises
        ------
        SettingsError
            If the file is there but holds no key.
        OutputError
            If it cannot be written.
        """
        path = Path(key_file)
        secret, known = read_key(path)
        redacted, key = self._redacted(secret)
        write_key(path, secret, {**known, **key})
        return redacted

    def _redacted(self, secret: bytes) -> tuple["Report", dict[str, str]]:
        now = redact(self.assessment, secret=secret)
        if self.before is None:
            return replace(self, assessment=now.assessment, aliased=True), dict(now.key)
        then = redact(self.before, secret=secret)
        report = replace(self, assessment=now.assessment, before=then.assessment, aliased=True)
        return report, {**then.key, **now.key}

    def _repr_html_(self) -> str:
        return fragment(self.assessment, self.comparison)


def report(assessment: Assessment, *, before: Assessment | None = None) -> Report:
    """Make the report of an assessment.

    Parameters
    ----------
    assessment : Assessment
        The judgement of one period, as `backupkit.evaluate` gives it.
    before : Assessment, optional
        An earlier judgement, to tell what changed since.

    Returns
    -------
    Report
        Shows itself in a notebook; ``.save("report.html")`` writes the file.
    """
    return Report(assessment, before)
