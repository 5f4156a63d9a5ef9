"""Report of an assessment, to display, save or mail: `Report`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from backupkit.assessment import Assessment, Comparison, compare
from backupkit.reports.columns import stream_csv
from backupkit.reports.days import build_days_frame
from backupkit.reports.exports import build_trend_rows, stream_json, stream_table_csv
from backupkit.reports.files import (
    Content,
    check_foreign,
    find_own_files,
    read_key,
    write_files,
    write_key,
)
from backupkit.reports.mail import compose_mail
from backupkit.reports.notes import select_notes
from backupkit.reports.pack import build_pack, format_json, write_pack
from backupkit.reports.pack_readme import render_readme
from backupkit.reports.page import render_fragment, render_page
from backupkit.reports.policy_text import format_policy
from backupkit.reports.redaction import redact
from backupkit.reports.summary import summarize
from backupkit.reports.tickets import render_markdown, render_text
from backupkit.reports.workbook import build_workbook
from backupkit.tables.notes import Note, build_note_frame

__all__ = ["Report", "report"]

_LARGE_FILES: Final = (".json", ".csv", ".jobs.csv")


@dataclass(frozen=True, slots=True)
class Report:
    """Report of one assessment, to display, save or mail.

    Attributes
    ----------
    assessment : Assessment
        Assessment to report.
    before : Assessment, optional
        Earlier assessment of the same fleet. The report lists the changes since.
    aliased : bool
        Whether names are replaced by aliases; the report states it.
    exceptions_only : bool
        Whether the page lists only what needs attention; it states what is left out.
    notes : tuple of Note
        Notes of operators about the appliances in the period.
    """

    assessment: Assessment
    before: Assessment | None = None
    aliased: bool = False
    exceptions_only: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def title(self) -> str:
        """Verdict, subject and period in one line."""
        return summarize(self.assessment).title

    @property
    def comparison(self) -> Comparison | None:
        """Changes since the earlier assessment; None without one."""
        return None if self.before is None else compare(self.before, self.assessment)

    def html(self) -> str:
        """Render the HTML document.

        Returns
        -------
        str
            One self-contained HTML page. The same assessment gives the same text.
        """
        return render_page(
            self.assessment,
            self.comparison,
            aliased=self.aliased,
            exceptions_only=self.exceptions_only,
            notes=self.notes,
        )

    def to_text(self) -> str:
        """Render a short summary for a ticket or a chat, as plain text.

        Returns
        -------
        str
            Verdicts, key figures, and who needs attention: since when, why, and the next step. At
            most 60 lines of 80 columns.
        """
        return render_text(self.assessment, self.comparison, aliased=self.aliased, notes=self.notes)

    def to_markdown(self) -> str:
        """Render the short summary as Markdown with tables.

        Returns
        -------
        str
            The content of `to_text`, in at most 60 lines. Texts of appliances are escaped: they
            make no links, and break no tables.
        """
        return render_markdown(
            self.assessment, self.comparison, aliased=self.aliased, notes=self.notes
        )

    def to_json(self) -> str:
        """Return the whole assessment as a JSON document, as `save` writes it.

        Returns
        -------
        str
            The document, valid against ``report.schema.json`` of `backupkit.reports`.
        """
        return b"".join(self._stream_json()).decode()

    def save(
        self, path: str | Path, *, xlsx: bool = False, compress: bool = False
    ) -> tuple[Path, ...]:
        """Write the HTML page and its data files.

        Parameters
        ----------
        path : str or Path
            File of the page. The data files have the same name with ``.json`` (everything),
            ``.csv`` (one row per slot), ``.jobs.csv`` (one row per job) and ``.appliances.csv``
            (one row per appliance, all its figures). In ``.verdicts.csv``, there is one row for the
            fleet, each site and each group; in ``.days.csv`` one row per appliance and one column
            per day; in ``.trend.csv`` one row per day, week and month. They have the jobs that
            overlap the period, and of a period that is over no observation after its end.
        xlsx : bool
            Whether to write an ``.xlsx`` workbook too; it needs ``backupkit[xlsx]``.
        compress : bool
            Whether to compress the files that grow with the number of jobs: ``.json.gz``,
            ``.csv.gz`` and ``.jobs.csv.gz``. They replace those of an earlier report that are not
            compressed, and the other way round.

        Returns
        -------
        tuple of Path
            The files, the page first.

        Raises
        ------
        OutputError
            If a file cannot be written, or XlsxWriter is missing. No file is replaced before all
            are written. Also if a data file exists that an earlier report at `path` does not name:
            it may be another program's.
        """
        target = Path(path)
        ending, other_ending = (".gz", "") if compress else ("", ".gz")
        beside = self._list_data(target, ending)
        if xlsx:
            beside[target.with_suffix(".xlsx")] = build_workbook(self.assessment)
        obsolete = {target.with_suffix(f"{name}{other_ending}") for name in _LARGE_FILES}
        own = find_own_files(target, {*beside, *obsolete})
        check_foreign(beside, own)
        return write_files(
            {target: self._render_page(tuple(beside)), **beside}, obsolete=own & obsolete
        )

    def save_pack(
        self,
        path: str | Path,
        *,
        ledger: Mapping[str, Any] | None = None,
        sign_key: str | Path | None = None,
    ) -> Path:
        """Write the evidence of the period to one zip file, for an auditor.

        It has the page, its data files, the notes of operators, the policy as a fleet.toml without
        users and passwords, the state of the ledger, checksums, and a README. The same report gives
        the same bytes.

        Parameters
        ----------
        path : str or Path
            The new file. One with another content is never replaced.
        ledger : mapping, optional
            Result of the verification of the history, for ``ledger.json``: head and problems.
        sign_key : str or Path, optional
            Private key of OpenSSH that signs the checksums.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the file has another content, or cannot be written.
        SettingsError
            If the key cannot sign.
        """
        page = Path("report.html")
        data = self._list_data(page, "")
        contents: dict[str, Content] = {
            **{file.name: content for file, content in data.items()},
            page.name: self._render_page(tuple(data)),
            "policy.toml": format_policy(self.assessment.policy).encode(),
        }
        if self.notes:
            contents["notes.csv"] = stream_csv(build_note_frame(self.notes))
        if ledger is not None:
            contents["ledger.json"] = format_json(ledger)
        contents["README.txt"] = render_readme(
            self.assessment,
            ledger,
            names=sorted(contents),
            aliased=self.aliased,
            is_signed=sign_key is not None,
        )
        target = Path(path)
        key = None if sign_key is None else Path(sign_key)
        write_pack(target, build_pack(contents, key=key))
        return target

    def _list_data(self, page: Path, ending: str) -> dict[Path, Content]:
        """Return the data files beside a page; `ending` is that of the large ones."""
        assessment = self.assessment
        return {
            page.with_suffix(f".json{ending}"): self._stream_json(),
            page.with_suffix(f".csv{ending}"): stream_table_csv(assessment, "slots"),
            page.with_suffix(f".jobs.csv{ending}"): stream_table_csv(assessment, "jobs"),
            page.with_suffix(".verdicts.csv"): stream_table_csv(assessment, "verdicts"),
            page.with_suffix(".appliances.csv"): stream_table_csv(assessment, "appliances"),
            page.with_suffix(".days.csv"): stream_csv(build_days_frame(assessment)),
            page.with_suffix(".trend.csv"): stream_csv(build_trend_rows(assessment)),
        }

    def _stream_json(self) -> Iterator[bytes]:
        return stream_json(self.assessment, aliased=self.aliased, notes=self.notes)

    def _render_page(self, beside: tuple[Path, ...]) -> bytes:
        """Render the page that names the data files beside it."""
        return render_page(
            self.assessment,
            self.comparison,
            sidecars=tuple(file.name for file in beside),
            aliased=self.aliased,
            exceptions_only=self.exceptions_only,
            notes=self.notes,
        ).encode()

    def message(self, attachments: tuple[Path, ...] = ()) -> EmailMessage:
        """Compose the mail, with the verdict and the worst appliances in its body.

        Parameters
        ----------
        attachments : tuple of Path
            Files to attach, such as the first one that `save` returns.

        Returns
        -------
        EmailMessage
            For `backupkit.mail.MailServer.send`.

        Raises
        ------
        OutputError
            If an attachment cannot be read.
        """
        return compose_mail(
            self.assessment,
            self.comparison,
            attachments=attachments,
            aliased=self.aliased,
            notes=self.notes,
        )

    def redacted(self, secret: bytes) -> "Report":
        """Replace names by stable aliases.

        Parameters
        ----------
        secret : bytes
            Key of the aliases, such as `History.identity`. The same key gives the same aliases.
            Without the key, nobody can reverse them.

        Returns
        -------
        Report
            Without the names of appliances, sites, groups, hosts, users, locations and schedules,
            also in messages. Its figures are the same.
        """
        return self._redacted(secret)[0]

    def redacted_by(self, key_file: str | Path) -> "Report":
        """Replace names by aliases, and write the original names to a key file.

        Parameters
        ----------
        key_file : str or Path
            Key file, readable by its owner only. An existing file gives the same aliases as
            before; otherwise it is created.

        Returns
        -------
        Report
            As from `redacted`.

        Raises
        ------
        SettingsError
            If the file exists but cannot be read or holds no key.
        OutputError
            If the file cannot be written.
        """
        path = Path(key_file)
        secret, earlier_aliases = read_key(path)
        redacted, key = self._redacted(secret)
        write_key(path, secret, {**earlier_aliases, **key})
        return redacted

    def _redacted(self, secret: bytes) -> tuple["Report", dict[str, str]]:
        now = redact(self.assessment, secret=secret)
        # notes are written by people: any word may be a name
        report = replace(self, assessment=now.assessment, aliased=True, notes=())
        if self.before is None:
            return report, dict(now.key)
        then = redact(self.before, secret=secret)
        return replace(report, before=then.assessment), {**then.key, **now.key}

    def _repr_html_(self) -> str:
        return render_fragment(self.assessment, self.comparison)


def report(
    assessment: Assessment,
    *,
    before: Assessment | None = None,
    exceptions_only: bool = False,
    notes: Iterable[Note] = (),
) -> Report:
    """Return the report of an assessment.

    Parameters
    ----------
    assessment : Assessment
        Assessment of one period, from `backupkit.evaluate`.
    before : Assessment, optional
        Earlier assessment, to list the changes since.
    exceptions_only : bool
        Whether the page lists only what needs attention.
    notes : iterable of Note
        Notes of operators, from `History.notes`. Those on the period that are valid are shown.

    Returns
    -------
    Report
        A notebook displays it; ``.save("report.html")`` writes the file.
    """
    selected = select_notes(assessment, notes)
    return Report(assessment, before, exceptions_only=exceptions_only, notes=selected)
