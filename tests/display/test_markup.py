"""Small pieces of HTML, read by a parser."""

import re

import html5lib
import pytest
from markupsafe import Markup

from backupkit.display import (
    render_container,
    render_key_value_table,
    render_paragraph,
    show,
    style_sheet,
    table,
)

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"


def rows(html: str) -> list[list[str]]:
    """Return the cells of a table's body."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return [["".join(cell.itertext()) for cell in row] for row in tree.findall(".//tbody/tr")]


class TestTable:
    """`table`."""

    def test_texts_are_escaped(self) -> None:
        """Texts are escaped, without control characters and direction marks."""
        html = table({"Name": "", "Why": "text"}, [(EVIL, EVIL)], caption=EVIL)
        assert "<script" not in html
        assert rows(html) == [["<script>alert(1)</script> [31m"] * 2]

    def test_markup_stays(self) -> None:
        """Existing markup is unchanged."""
        html = table({"Name": "", "Bar": ""}, [("a", Markup("<b>x</b>"))])
        assert "<td><b>x</b></td>" in html

    def test_no_password_of_an_address(self) -> None:
        """User and password in a URL are removed."""
        assert rows(table({"Name": ""}, [("sftp://joe:secret@nas/vc",)])) == [["sftp://***@nas/vc"]]

    @pytest.mark.parametrize(
        ("count", "total", "said"),
        [(3, None, ""), (4, None, "and 1 more"), (3, 1_500, "and 1,497 more")],
    )
    def test_what_is_left_out_is_counted(self, count: int, total: int | None, said: str) -> None:
        """Rows beyond the limit are counted."""
        html = table({"N": ""}, [(str(n),) for n in range(count)], limit=3, total=total)
        assert len(rows(html)) == 3
        assert ("more" in html) == bool(said)
        assert said in html


class TestFactTable:
    """`render_key_value_table`."""

    def test_names_and_values(self) -> None:
        """Each value is a row, with an optional caption."""
        html = render_key_value_table({"RPO": "24 h", "Why": EVIL}, caption="Policy <x>")
        assert rows(html) == [["RPO", "24 h"], ["Why", "<script>alert(1)</script> [31m"]]
        assert "<caption>Policy &lt;x&gt;</caption>" in html
        assert "<caption>" not in render_key_value_table({})


class TestPanel:
    """`render_container` and `render_paragraph`."""

    def test_text_is_escaped(self) -> None:
        """Texts are escaped, and mathematics is switched off."""
        html = render_container(render_paragraph("$x$ <b>"), "<i>")
        assert html.endswith('<p class="fine">$x$ &lt;b&gt;</p>&lt;i&gt;</div>')
        assert html.startswith('<div class="bk mathjax_ignore tex2jax_ignore"><style>')
        assert "<style>" not in render_container("x", styled=False)


class TestStyle:
    """`style_sheet`."""

    def test_one_dark(self) -> None:
        """The reader's dark theme and JupyterLab's are the same; the page's theme decides."""
        blocks = re.findall(r"\.bk \{\s*(--paper.*?--link: #\w+;)", style_sheet(), re.DOTALL)
        themes = [dict(re.findall(r"--([a-z-]+): (#\w+);", block)) for block in blocks]
        light, dark, lab, paper = themes
        assert dark == lab
        assert light.keys() == dark.keys() == paper.keys()
        hosts = ('[data-jp-theme-light="false"]', ".vscode-dark", '[theme="dark"]')
        (by_page,) = re.findall(r":where\((.*)\) \.bk \{\n  --paper: #14171a", style_sheet())
        assert [host for host in hosts if host not in by_page] == []
        (by_system,) = re.findall(r":where\((.*)\) \.bk, :where\(body\)\.bk {", style_sheet())
        assert ":not([data-jp-theme-light], .vscode-light" in by_system


class TestShow:
    """`show`."""

    def test_without_a_notebook(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Outside a notebook nothing is shown or printed."""
        assert show("a thing") is False
        assert capsys.readouterr() == ("", "")
