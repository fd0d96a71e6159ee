"""How many requests may wait."""

from __future__ import annotations

from trsr_lite.serve.job import JOBS, JOBS_BYTES, Job, is_full


def test_no_more_jobs_wait_than_may() -> None:
    assert not is_full([Job()] * (JOBS - 1), Job())
    assert is_full([Job()] * JOBS, Job())


def test_no_more_bytes_wait_than_may_but_one_job_always() -> None:
    assert not is_full([], Job(size=JOBS_BYTES + 1))
    assert is_full([Job(size=JOBS_BYTES + 1)], Job(size=1))
    assert not is_full([Job(size=JOBS_BYTES - 1)], Job(size=1))
    assert is_full([Job(size=JOBS_BYTES)], Job(size=1))
