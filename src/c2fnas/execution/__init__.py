"""WHERE a job runs: in this process, in local processes (one per device), on a Ray cluster."""

from c2fnas.execution.executor import Executor
from c2fnas.execution.inline import InlineExecutor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.local import LocalProcessExecutor

__all__ = ["Executor", "InlineExecutor", "Job", "LocalProcessExecutor", "Outcome"]
