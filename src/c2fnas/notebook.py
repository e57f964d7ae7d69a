"""Progress in a notebook: bars of tqdm, where no command line shows any."""

import sys
from typing import Any


def in_notebook() -> bool:
    """True in a Jupyter kernel. IPython is not imported for it: a kernel has done so."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Bars:
    """A :class:`c2fnas.runs.reporter.Reporter` of a bar per stage, as wide as the notebook's cell."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        from tqdm.auto import tqdm

        tqdm.write(text)

    def start(self, stage: str, total: float) -> None:
        """Add a bar for ``stage``."""
        from tqdm.auto import tqdm

        self._bars[stage] = tqdm(total=total, desc=stage, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}")

    def update(self, stage: str, done: float, note: str = "") -> None:
        """Move the bar of ``stage``."""
        bar = self._bars[stage]
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    def finish(self, stage: str, note: str = "") -> None:
        """Fill the bar of ``stage``."""
        self.update(stage, self._bars[stage].total, note)
        self._bars[stage].close()
