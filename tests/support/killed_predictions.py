"""Run as a program: predicts in forked processes, each of which kills itself at one point of its work.

Arguments: model, input, output, then the points, each ``NUMBER:WHERE``, the number of the label file (from 0) and
``before`` it is written, in the middle ``of`` writing it, or ``after`` it has its name.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import monai.data.utils  # noqa: F401  once for all children

from c2fnas.data import volume
from c2fnas.inference.package import load_package
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.predictor import Predictor


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(number: int, where: str) -> None:
    """Have this process die at a point."""
    plain, count = volume.write_atomically, 0

    def write(path: Path, fill: Callable[[Path], object]) -> None:
        nonlocal count
        count += 1
        if count <= number:
            return plain(path, fill)
        if where == "before":
            die()

        def half(temporary: Path) -> None:
            fill(temporary)
            if where == "of":
                os.truncate(temporary, temporary.stat().st_size // 2)
                die()

        plain(path, half)
        die()

    volume.write_atomically = write


def predict(model: str, images: str, output: str) -> None:
    loaded = load_package(Path(model))
    predict_cases(Predictor((loaded,), loaded.window(), device="cpu"), find_cases(Path(images), 1), Path(output))


if __name__ == "__main__":
    model, images, output, *points = sys.argv[1:]
    for point in points:
        child = os.fork()
        if child == 0:
            number, _, where = point.partition(":")
            arm(int(number), where)
            predict(model, images, output)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        found = sorted(path.name for path in Path(output).glob("[!.]*.nii.gz"))
        print(point, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended", *found, flush=True)
