"""Scripts of the widgets that the page draws, and the colours that they get."""

from importlib.resources import files

from backupkit.plots import themes

__all__ = ["encode_themes", "load_script"]


def load_script(name: str) -> str:
    """Return a script of this package, with what several of them share before it.

    Parameters
    ----------
    name : str
        Its file, such as ``"runs.js"``.

    Returns
    -------
    str
        A module that depends on no other file, as anywidget wants it.

    Examples
    --------
    >>> "function isDark()" in load_script("runs.js")
    True
    """
    folder = files("backupkit.widgets")
    return "\n".join(
        folder.joinpath(part).read_text(encoding="utf-8") for part in ("page.js", name)
    )


def encode_themes() -> dict[str, dict[str, str]]:
    """Return the colours of both themes: of the paper, the text, the lines and each outcome.

    Examples
    --------
    >>> encode_themes()["dark"]["background"]
    '#1b1f23'
    """
    return {
        name: {
            "background": theme.paper,
            "ink": theme.ink,
            "muted": theme.muted,
            "line": theme.line,
            **{key: theme.of(one.colour) for key, one in themes.OUTCOME_STYLES.items()},
        }
        for name, theme in themes.THEMES.items()
    }
