"""Small pieces of HTML, read back by a parser."""

import re

import html5lib
import pytest
from markupsafe import Markup

from backupkit.display import container, key_value_table, paragraph, show, style_sheet, table

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"


def rows(html: str) -> list[list[str]]:
    """Read the cells of a table's body."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return [["".join(cell.itertext()) for cell in row] for row in tree.findall(".//tbody/tr")]


class TestTable:
    """`table`."""

    def test_texts_are_escaped(self) -> None:
        """Another's words are text: no markup, nothing that steers a terminal or the direction."""
        html = table({"Name": "", "Why": "text"}, [(EVIL, EVIL)], caption=EVIL)
        assert "<script" not in html
        assert rows(html) == [["<script>alert(1)</script> [31m"] * 2]

    def test_markup_stays(self) -> None:
        """What is markup already is left as it is."""
        html = table({"Name": "", "Bar": ""}, [("a", Markup("<b>x</b>"))])
        assert "<td><b>x</b></td>" in html

    def test_no_password_of_an_address(self) -> None:
        """User and password in an address are left out."""
        assert rows(table({"Name": ""}, [("sftp://joe:secret@nas/vc",)])) == [["sftp://***@nas/vc"]]

    @pytest.mark.parametrize(
        ("count", "total", "said"),
        [(3, None, ""), (4, None, "and 1 more"), (3, 1_500, "and 1,497 more")],
    )
    def test_what_is_left_out_is_counted(self, count: int, total: int | None, said: str) -> None:
        """At most so many rows are shown."""
        html = table({"N": ""}, [(str(n),) for n in range(count)], limit=3, total=total)
        assert len(rows(html)) == 3
        assert ("more" in html) == bool(said)
        assert said in html


class TestFactTable:
    """`key_value_table`."""

    def test_names_and_values(self) -> None:
        """A row each, with a caption where one is given."""
        html = key_value_table({"RPO": "24 h", "Why": EVIL}, caption="Policy <x>")
        assert rows(html) == [["RPO", "24 h"], ["Why", "<script>alert(1)</script> [31m"]]
        assert "<caption>Policy &lt;x&gt;</caption>" in html
        assert "<caption>" not in key_value_table({})


class TestPanel:
    """`container` and `paragraph`."""

    def test_text_is_escaped(self) -> None:
        """Parts that are no markup are escaped; mathematics is switched off."""
        html = container(paragraph("$x$ <b>"), "<i>")
        assert html.endswith('<p class="fine">$x$ &lt;b&gt;</p>&lt;i&gt;</div>')
        assert html.startswith('<div class="bk mathjax_ignore tex2jax_ignore"><style>')
        assert "<style>" not in container("x", styled=False)


class TestStyle:
    """`style_sheet`."""

    def test_one_dark(self) -> None:
        """The reader's dark and JupyterLab's dark are the same, and the page's theme decides."""
        blocks = re.findall(r"\.bk \{\s*(--paper.*?--link: #\w+;)", style_sheet(), re.DOTALL)
        themes = [dict(re.findall(r"--([a-z-]+): (#\w+);", block)) for block in blocks]
        light, dark, lab, paper = themes
        assert dark == lab
        assert light.keys() == dark.keys() == paper.keys()
        assert ':where(body[data-jp-theme-light="false"]) .bk {' in style_sheet()
        assert ":where(body:not([data-jp-theme-light])) .bk, :where(body).bk {" in style_sheet()


class TestShow:
    """`show`."""

    def test_without_a_notebook(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where no cell runs, nothing is shown, and nothing is printed."""
        assert show("a thing") is False
        assert capsys.readouterr() == ("", "")
