"""Canvas for PNG images that draws each text once and keeps its image.

Layout and rasterising of texts take most of the drawing time of a figure. A figure that is drawn
again has nearly the same texts: names of appliances, states, dates, numbers. The image does not
depend on what is kept.
"""

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

__all__ = ["TextImageCanvas"]

Value = TypeVar("Value")

Image = tuple[npt.NDArray[np.uint8], float, float, float]
"""Image of a glyph or text, its place beside the pixel where the text begins, and its angle."""

_MAX_TEXTS: Final = 4_096
"""Maximum number of texts to keep, each of about 4 kB."""


class TextImageCanvas(FigureCanvasAgg):  # type: ignore[misc] # its module has no types
    """Canvas that draws a figure for a PNG image."""

    def get_renderer(self) -> RendererAgg:
        """Return the renderer for the present size and resolution of the figure."""
        plain = super().get_renderer()
        if not hasattr(plain, "_renderer"):  # another version of matplotlib: slower, but right
            return plain
        if not isinstance(plain, _TextImageRenderer):
            self.renderer = _TextImageRenderer(plain.width, plain.height, plain.dpi)
        return self.renderer


class _Kept(Generic[Value]):
    """Values that are computed once; all are dropped if there are too many."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Value] = {}

    def find(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        value = self._values.get(key)
        if value is None:
            value = compute()
            if len(self._values) >= _MAX_TEXTS:
                self._values.clear()
            self._values[key] = value
        return value


_sizes: Final[_Kept[tuple[float, float, float]]] = _Kept()
_images: Final[_Kept[list[Image]]] = _Kept()


class _TextImageRenderer(RendererAgg):  # type: ignore[misc] # its module has no types
    """Renderer that repeats the images of a text that began at the same part of a pixel."""

    _renderer: Any  # of matplotlib

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: object
    ) -> tuple[float, float, float]:
        measure = super().get_text_width_height_descent
        return _sizes.find((s, ismath, *self._find_font(prop)), lambda: measure(s, prop, ismath))

    def draw_text(
        self,
        gc: Any,  # noqa: ANN401 # of a module without types
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: object = False,  # noqa: FBT002 # as matplotlib's
        mtext: object = None,
    ) -> None:
        draw = super().draw_text
        if ismath:
            draw(gc, x, y, s, prop, angle, ismath, mtext)
            return
        column, row = math.floor(x), math.floor(y)
        beside = x - column, y - row, self.height % 1, angle

        def record() -> list[Image]:
            recorder, agg = _Recorder(column, row), self._renderer
            self._renderer = recorder
            try:
                draw(gc, x, y, s, prop, angle, ismath, mtext)
            finally:
                self._renderer = agg
            return recorder.images

        key = (s, *beside, gc.get_antialiased(), *self._find_font(prop))
        for image, left, top, turned in _images.find(key, record):
            self._renderer.draw_text_image(image, column + left, row + top, turned, gc)

    def _get_font_height_metrics(self, prop: FontProperties) -> tuple[float | None, ...]:
        """Return ascent, descent and line gap, which matplotlib would read for each text."""
        return _measure_line(*self._find_font(prop))

    def _find_font(self, prop: FontProperties) -> tuple[str, float, float]:
        return findfont(prop), prop.get_size_in_points(), self.dpi


class _Recorder:
    """Stands for matplotlib's own renderer while it draws a text, and keeps what it is given."""

    def __init__(self, column: int, row: int) -> None:
        self._column, self._row = column, row
        self.images: list[Image] = []

    def draw_text_image(
        self, image: npt.ArrayLike, x: float, y: float, angle: float, _gc: object
    ) -> None:
        self.images.append((np.array(image), x - self._column, y - self._row, angle))


@lru_cache(maxsize=64)
def _measure_line(path: str, points: float, dpi: float) -> tuple[float | None, ...]:
    """Return ascent, descent and line gap of a font [pixel]; None for a font without them."""
    font = FT2Font(path)
    metrics, head = font.get_sfnt_table("OS/2"), font.get_sfnt_table("head")
    if metrics is None or head is None:
        return None, None, None
    scale = points * dpi / 72 / head["unitsPerEm"]
    return (
        scale * metrics["sTypoAscender"],
        -scale * metrics["sTypoDescender"],
        scale * metrics["sTypoLineGap"],
    )
