"""Runs the jobs that are the subject of a test: all of them take 80 ms. That all run, one after another, is tested in
tests/db/test_retention.py."""

from __future__ import annotations

from sso.jobs import JOBS, JobServices, Run


async def run_jobs(provider: JobServices, *names: str) -> None:
    """Run these of ``JOBS`` now, in the order in which they are run there.

    Args:
        provider: the services of the process.
        names: which.

    Raises:
        Exception: the first error of a job; the others have run.
    """
    assert set(names) <= {job.name for job in JOBS}, names
    await provider.clock.compare()
    errors: list[Exception] = []
    for job in JOBS:
        if job.name in names:
            try:
                await job.work(Run(provider))
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]
