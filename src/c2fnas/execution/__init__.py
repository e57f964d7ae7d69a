"""Execution: jobs in this process, in local processes (one per device), or on a Ray cluster. Imports no torch."""

from c2fnas.execution.executor import Executor
from c2fnas.execution.inline import InlineExecutor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.local import LocalProcessExecutor
from c2fnas.execution.log import WarningLog

__all__ = ["Executor", "InlineExecutor", "Job", "LocalProcessExecutor", "Outcome", "WarningLog"]
