"""A bar for somebody who watches, plain lines for a log file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reidlab.processes import progress_style


class Progress:
    """Shows how far an epoch is, and prints one line when it ends.

    In a terminal, and in a notebook that has ipywidgets, a bar; anywhere else (papermill, a batch
    queue, a pipe) only the line per epoch. A notebook cannot tell whether papermill runs it, so
    pipelines set the environment variable REIDLAB_PROGRESS=plain; =bar forces the bar, =none
    silences both.
    """

    def __init__(self) -> None:
        self.style = progress_style()
        self._bar: Any = None

    def steps(self, batches: Iterable[Any], total: int, title: str) -> Iterator[Any]:
        """Iterate over the batches of an epoch."""
        if self.style != "bar":
            yield from batches
            return
        from tqdm.auto import tqdm

        with tqdm(batches, total=total, desc=title, leave=False, dynamic_ncols=True) as self._bar:
            yield from self._bar

    def note(self, text: str) -> None:
        """Show a short text beside the bar."""
        if self.style == "bar":
            self._bar.set_postfix_str(text, refresh=False)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        if self.style != "none":
            print(text, flush=True)
