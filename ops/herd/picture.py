"""The picture of a run: who pressed, who had a receipt, and how many of each in every moment. Owner: herd."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PRESSED = "#c2571a"
_RECEIPT = "#0b6e75"
_WAITING = "#f3d9b8"
_TEXT = "#33312e"
_BINS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn.

    Attributes:
        presses: seconds after the start, one per tap.
        receipts: the same of receipts; fewer when some phones got none.
        title_id, title_en: the headline, Bahasa Indonesia and English.
        p50_ms, p99_ms: press to receipt.
    """

    presses: Sequence[float]
    receipts: Sequence[float]
    title_id: str
    title_en: str
    p50_ms: float
    p99_ms: float


def draw(scene: Scene, path: Path) -> None:
    """Writes a PNG of 1,600 x 1,200 pixels."""
    # Half a second and 60 MB that only a run with a picture should pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 7.5), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    # A run without any receipt still needs an axis.
    end = max([*scene.presses, *scene.receipts, 0.0]) or 1.0
    begin = -0.03 * end
    _draw_sums(upper, scene, begin, end)
    _draw_rates(lower, scene, end)
    for axes in (upper, lower):
        _plain(axes)
    lower.set_xlim(begin, end * 1.04)
    upper.set_title(scene.title_id, loc="left", fontsize=15, fontweight="bold", color=_TEXT, pad=30)
    upper.annotate(
        scene.title_en,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 12),
        textcoords="offset points",
        fontsize=11,
        color="#6b6762",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_sums(axes: "Axes", scene: Scene, begin: float, end: float) -> None:
    pressed_x, pressed_y = _steps(scene.presses, begin, end * 1.04)
    receipt_x, receipt_y = _steps(scene.receipts, begin, end * 1.04)
    moments = sorted({*pressed_x, *receipt_x})
    axes.fill_between(
        moments,
        _at(moments, scene.receipts),
        _at(moments, scene.presses),
        step="post",
        color=_WAITING,
        linewidth=0,
        label="menunggu / waiting",
    )
    axes.plot(
        pressed_x,
        pressed_y,
        drawstyle="steps-post",
        color=_PRESSED,
        linewidth=4.5,
        label="menekan tombol / pressed",
    )
    axes.plot(
        receipt_x,
        receipt_y,
        drawstyle="steps-post",
        color=_RECEIPT,
        linewidth=2.2,
        label="menerima tanda terima / has a receipt",
    )
    axes.set_ylim(0, len(scene.presses) * 1.08)
    axes.set_ylabel("orang / people")
    p50, p99 = _duration(scene.p50_ms), _duration(scene.p99_ms)
    # Upper left: both curves rise from the lower left to the upper right, whatever the arrival.
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.045, 0.9),
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
        fontsize=10,
        title=f"separuh menunggu paling lama {p50.replace('.', ',')}, 99 % paling lama {p99.replace('.', ',')}\n"
        f"half waited at most {p50}, 99 % at most {p99}",
        title_fontsize=9.5,
        alignment="left",
    )


def _draw_rates(axes: "Axes", scene: Scene, end: float) -> None:
    width = end / _BINS
    edges = [number * width for number in range(_BINS + 1)]
    pressed, receipts = _rates(scene.presses, width), _rates(scene.receipts, width)
    axes.bar(
        edges[:-1],
        receipts,
        width=width,
        align="edge",
        color=_RECEIPT,
        alpha=0.85,
        linewidth=0,
        label="tanda terima / receipts",
    )
    axes.stairs(pressed, edges, color=_PRESSED, linewidth=1.8, label="menekan / pressed")
    peak = max(receipts)
    # All at once is one bar without an end; what matters beside it is how fast receipts come.
    if 0 < 3 * peak < max(pressed):
        axes.set_ylim(0, peak * 1.35)
        axes.annotate(
            f"{_thousands(len(scene.presses))} sekaligus / at once",
            xy=(width, peak * 1.22),
            xytext=(8, 0),
            textcoords="offset points",
            color=_PRESSED,
            fontsize=9.5,
            va="center",
        )
    axes.set_ylabel("per detik / per second")
    axes.set_xlabel("detik sejak orang pertama menekan / seconds since the first press")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, frameon=False, fontsize=10)


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b9b4ad")
    axes.tick_params(colors=_TEXT, labelsize=10)
    axes.yaxis.label.set_color(_TEXT)
    axes.xaxis.label.set_color(_TEXT)
    axes.grid(axis="y", color="#e7e3dd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _position: _thousands(round(value)))
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}".replace(".", ","))


def _thousands(number: int) -> str:
    """As an Indonesian writes it: 6.000."""
    return f"{number:,}".replace(",", ".")


def _steps(times: Sequence[float], begin: float, end: float) -> tuple[list[float], list[int]]:
    """A cumulative count as at most some thousand corners."""
    ordered = sorted(times)
    stride = max(1, len(ordered) // 2000)
    picked = range(stride - 1, len(ordered), stride)
    xs = [begin, *(ordered[number] for number in picked)]
    ys = [0, *(number + 1 for number in picked)]
    if ordered and ys[-1] != len(ordered):
        xs.append(ordered[-1])
        ys.append(len(ordered))
    return [*xs, end], [*ys, ys[-1]]


def _at(moments: Sequence[float], times: Sequence[float]) -> list[int]:
    ordered, found, number = sorted(times), [], 0
    for moment in moments:
        while number < len(ordered) and ordered[number] <= moment:
            number += 1
        found.append(number)
    return found


def _rates(times: Sequence[float], width: float) -> list[float]:
    counts = [0] * _BINS
    for moment in times:
        counts[min(_BINS - 1, int(moment / width))] += 1
    return [count / width for count in counts]


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"
