"""Report as one document or one evidence pack, instead of a page with data files."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backupkit.cli.options import echo, echo_document
from backupkit.cli.outputs import refuse_inputs
from backupkit.errors import SettingsError
from backupkit.texts import escape_controls

if TYPE_CHECKING:
    import backupkit as bk

__all__ = ["Output"]

STDOUT: Final = "-"


@dataclass(frozen=True, kw_only=True)
class Output:
    """Options of a report that choose what is written.

    Attributes
    ----------
    kind : str
        html, text, markdown or json.
    out : str, optional
        File, or "-" for stdout.
    pack : Path, optional
        Zip file with the evidence.
    sign : Path, optional
        Key that signs it.
    """

    kind: str
    out: str | None
    pack: Path | None
    sign: Path | None

    @property
    def is_page(self) -> bool:
        """True if the page is written with its data files."""
        return self.pack is None and self.kind == "html" and self.out != STDOUT

    def check(
        self, page_options: Mapping[str, bool], inputs: Collection[Path | str], *, as_json: bool
    ) -> None:
        """Raise an error if options exclude each other, or a file would replace an input.

        Some options need the page in a file.
        """
        for option, path in (("--output", self.out), ("--pack", self.pack)):
            if path is not None and path != STDOUT:
                refuse_inputs(Path(path), inputs, option=option)
        if self.sign is not None and self.pack is None:
            raise SettingsError("--sign needs --pack FILE: it signs the evidence.")
        if self.is_page:
            return
        given = [name for name, value in page_options.items() if value]
        if self.pack is not None and (self.kind != "html" or self.out is not None):
            raise SettingsError("--pack excludes --format and --out: it has the page and its data.")
        if self.pack is not None and str(self.pack) == STDOUT:
            raise SettingsError("--pack needs a file; for example: --pack evidence.zip")
        if given:
            needs = "needs the page" if self.pack is not None else "needs --format html"
            raise SettingsError(f"{given[0]} {needs} and a file, as --out report.html.")
        if as_json:
            raise SettingsError(
                "--json lists the files of the report, and none is written; --format json prints "
                "its data."
            )

    def write(self, document: "bk.Report", store: "bk.History") -> int:
        """Write the document or the pack; return 1 if the history has problems, else 0."""
        if self.pack is None:
            _write_one_document(document, self.kind, self.out)
            return 0
        return _write_pack(document, store, self.pack, self.sign)


def _write_pack(document: "bk.Report", store: "bk.History", pack: Path, sign: Path | None) -> int:
    """Verify the history, and write the evidence with the result."""
    version = document.assessment.version
    problems = store.verify(head=version or None)
    rows = problems.to_dict("records")
    if document.aliased:  # the texts have names
        rows = [dict.fromkeys(("what", "problem"), "left out, it may have names") for _ in rows]
    ledger = {"head": store.head, "data_version": version, "problems": rows}
    path = document.save_pack(pack, ledger=ledger, sign_key=sign)
    echo(f"Evidence: {path}")
    if problems.empty:
        return 0
    echo(
        f"backupkit: the history has {len(problems):,} problems, which are in {path}. List them: "
        "backupkit history verify",
        err=True,
    )
    return 1


def _write_one_document(document: "bk.Report", kind: str, out: str | None) -> None:
    """Write a report as html, text, markdown or json to a file, or to stdout."""
    from backupkit.reports.files import write_files  # noqa: PLC0415 # keeps --help fast

    render = {
        "html": document.html,
        "text": document.to_text,
        "markdown": document.to_markdown,
        "json": document.to_json,
    }[kind]
    text = escape_controls(render()) if kind == "json" else render()
    if out is None or out == STDOUT:
        echo_document(text)
    else:
        (path,) = write_files({Path(out): text.encode()})
        echo(f"Report: {path}")
