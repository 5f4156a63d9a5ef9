"""VMware's own client, used as its samples do: one appliance after the other, over REST."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from com.vmware.appliance.recovery.backup.job_client import Details
from com.vmware.appliance.recovery.backup_client import Job
from vmware.vapi.lib.connect import get_requests_connector
from vmware.vapi.security.client.security_context_filter import LegacySecurityContextFilter
from vmware.vapi.security.session import create_session_security_context
from vmware.vapi.stdlib.client.factories import StubConfigurationFactory

import backupkit as bk
from tests.benchmarks.plain import TIMEOUT, logged_in

__all__ = ["all_details", "job_by_job", "jobs_of"]


@contextlib.contextmanager
def _stubs(appliance: bk.Appliance) -> Iterator[Any]:
    """Log in, and give what the client's services are made with."""
    with logged_in(appliance) as (session, base):
        token = session.headers["vmware-api-session-id"]
        connector = get_requests_connector(
            session=session,
            msg_protocol="rest",
            url=f"{base}/rest",
            timeout=TIMEOUT,
            provider_filter_chain=[
                LegacySecurityContextFilter(security_context=create_session_security_context(token))
            ],
        )
        yield StubConfigurationFactory.new_std_configuration(connector)


def all_details(appliances: Iterable[bk.Appliance]) -> int:
    """Read all jobs by Details.list, with log-in and log-out."""
    count = 0
    for appliance in appliances:
        with _stubs(appliance) as stubs:
            count += len(Details(stubs).list())
    return count


@contextlib.contextmanager
def jobs_of(appliance: bk.Appliance, number: int) -> Iterator[tuple[Any, Sequence[str]]]:
    """Log in, and give Job and the ids of some jobs."""
    with _stubs(appliance) as stubs:
        jobs = Job(stubs)
        yield jobs, jobs.list()[:number]


def job_by_job(jobs: Any, job_ids: Iterable[str]) -> int:  # noqa: ANN401 # the client has no types
    """Read jobs by Job.get."""
    return len([jobs.get(job_id) for job_id in job_ids])
