"""The report: an assessment as one HTML file that can be mailed, with its data beside it."""

from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from backupkit.assessment import Assessment, Comparison, compare
from backupkit.report.files import write_files
from backupkit.report.mail import compose
from backupkit.report.page import fragment, page
from backupkit.report.sidecars import jobs_csv, json_document, slots_csv
from backupkit.report.summary import summarize

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
    """

    assessment: Assessment
    before: Assessment | None = None

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
        return page(self.assessment, self.comparison)

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
            target.with_suffix(".json"): json_document(self.assessment),
            target.with_suffix(".csv"): slots_csv(self.assessment),
            target.with_suffix(".jobs.csv"): jobs_csv(self.assessment.jobs),
        }
        html = page(self.assessment, self.comparison, sidecars=tuple(file.name for file in beside))
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
        return compose(self.assessment, self.comparison, attachments=attachments)

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
