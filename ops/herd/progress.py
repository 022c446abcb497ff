"""Progress bars for the long phases. Owner: herd."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar called `title` (Bahasa Indonesia first); the value yielded moves it on by so many steps.

    On no terminal it prints its last state once.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Few redraws: the herd shares its cores with what it measures.
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        task = progress.add_task(title, total=total)

        def advance(steps: int) -> None:
            progress.advance(task, steps)

        yield advance
