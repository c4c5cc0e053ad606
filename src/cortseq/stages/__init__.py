"""The stages of a study as steps: what each script of the workflow reads and writes, and which share a job.

A function that is named after a script of `workflow/scripts` returns one step of it.
"""

from cortseq.stages.jobs import jobs
from cortseq.stages.plan import Plan
from cortseq.stages.results import audit

__all__ = ["Plan", "audit", "jobs"]
