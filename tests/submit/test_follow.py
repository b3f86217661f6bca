"""Following a job: every line once, the job's own exit code, and again what can go on."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray._private.authentication_test_utils import reset_auth_token_state

from pipelines.errors import Incomplete, UsageError
from pipelines.submit import attempts as attempts_module
from pipelines.submit import follow as follow_module
from pipelines.submit.attempts import attempts
from pipelines.submit.client import Away, Server, Unknown
from pipelines.submit.follow import Left, Log, follow
from pipelines.submit.job import Driver, Job, Request
from pipelines.submit.status import job_lines, known
from pipelines.submit.stop import stop
from tests.submit.jobs_server import JobsServer, Play, jobs_server

LOG = "".join(f"{i}/40 shards\n" for i in range(40)) + "the end, without a new line"
HEADER = (
    "2026-11-21 23:04:02,022\tINFO job_manager.py:579 -- Runtime env is setting up.\n"
    "Running entrypoint for job x: python -m jobs.cli fit --run x\n"
)
DONE, DIED, KILLED = Play(), Play("FAILED", None, message="the node died"), Play("FAILED", -9)
SPECIFICATION = (
    "last logs\n/bin/python: Error while finding module specification for 'jobs.cli' "
    "(ModuleNotFoundError: "
)
LOST = Play("FAILED", None, message="Job supervisor actor died: ...")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses; and no cluster or token of whoever runs the tests, which Ray read on import."""
    monkeypatch.setattr(follow_module, "PAUSE", 0.01)
    monkeypatch.setattr(attempts_module, "STALE", 0.01)
    with pytest.MonkeyPatch.context() as environment:
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            environment.setenv(name, "")
            environment.delenv(name)
        reset_auth_token_state()
        yield
    reset_auth_token_state()


def run(server: JobsServer, retries: int = 0) -> tuple[Job, str, list[str]]:
    """What became of a job, what it printed, and what was said of it."""
    out, said = io.StringIO(), list[str]()
    request = Request("x", "python -m jobs.cli fit --run x")
    return attempts(Server(server.url), request, retries, out, said.append), out.getvalue(), said


@settings(max_examples=60)
@given(
    lines=st.lists(st.text("ab é\t:", max_size=9), max_size=12),
    starts=st.lists(st.integers(0, 60), max_size=6),
    size=st.integers(1, 30),
)
def test_a_log_is_printed_once_however_it_is_cut(
    lines: list[str], starts: list[int], size: int
) -> None:
    text = HEADER + "\n".join(lines)
    out = io.StringIO()
    log = Log(out)
    for end in (*(start + len(HEADER) // 2 for start in starts), len(text)):
        position = 0
        for start in range(0, min(end, len(text)), size):
            position = log.take(text[start : min(end, start + size)], position)
    log.close()
    told = "\n".join(lines)
    assert out.getvalue() == (told if told.endswith("\n") or not told else told + "\n")


def test_cut_connections_lose_and_repeat_no_line() -> None:
    with jobs_server(Play(log=HEADER + LOG, cuts=[300, 10, 450, 449])) as server:
        job, printed, _ = run(server)
        assert server.jobs["x"].cuts == []
    assert printed == LOG + "\n" and job.exit_code == 0


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (DONE, 0),
        *((Play("FAILED", code), code) for code in (1, 2, 3, 4)),
        (DIED, 3),
        (KILLED, 3),
        (Play("FAILED", 137), 3),
        (Play("FAILED", 15), 3),
        (Play("STOPPED", None), 3),
        (Play("FAILED", 127, message="sh: 1: python: not found"), 2),
        (Play("FAILED", 1, message="x:\nModuleNotFoundError: No module named 'torch'"), 2),
        (Play("FAILED", 1, message=f"{SPECIFICATION}No module named 'torch')\n"), 2),
    ],
)
def test_the_exit_code_is_the_jobs_own(play: Play, code: int) -> None:
    with jobs_server(play) as server:
        job, _, said = run(server, retries=0)
    assert job.exit_code == code
    if "torch" in play.message:
        assert "start: No module named 'torch';" in said[-1] and "nodes need" in said[-1]


@pytest.mark.parametrize(
    ("plays", "retries", "sent", "code"),
    [
        ([Play("FAILED", 3), KILLED, DONE], 5, 3, 0),
        ([LOST, Play("FAILED", 4), DONE], 1, 3, 0),  # the dead attempt's lock costs no retry
        ([Play("FAILED", 3), Play("FAILED", 3), DONE], 1, 2, 3),
        ([Play("FAILED", 4), DONE], 5, 1, 4),  # somebody else's lock
        ([Play("FAILED", 3), Play("FAILED", 4), DONE], 5, 2, 4),
        ([Play("FAILED", 1), DONE], 5, 1, 1),
        ([Play("FAILED", 2), DONE], 5, 1, 2),
        ([Play("STOPPED", None), DONE], 5, 1, 3),
    ],
)
def test_what_can_go_on_is_submitted_again(
    plays: list[Play], retries: int, sent: int, code: int
) -> None:
    with jobs_server(*plays) as server:
        job, _, _ = run(server, retries)
        names = [asked["submission_id"] for asked in server.requests]
    assert names == ["x", "x-2", "x-3"][:sent]
    assert job.exit_code == code


def test_somebody_elses_job_is_not_taken_for_an_attempt() -> None:
    with jobs_server(Play("RUNNING", None), KILLED, DONE) as server:
        Server(server.url).submit(Request("x-2", "sleep 1000"))
        job, _, _ = run(server, retries=1)
    assert (job.id, job.exit_code) == ("x-3", 0)


def test_an_attempt_whose_answer_was_lost_is_not_made_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit, calls = Server.submit, list[str]()

    def lossy(server: Server, request: Request) -> str:
        sent = submit(server, request)
        calls.append(sent)
        if calls == ["x", "x-2"]:
            raise Away("the connection broke")
        return sent

    monkeypatch.setattr(Server, "submit", lossy)
    with jobs_server(KILLED, DONE) as server:
        job, _, _ = run(server, retries=1)
    assert (job.id, job.exit_code, calls) == ("x-2", 0, ["x", "x-2"])


def test_a_job_that_the_cluster_forgot_is_submitted_again() -> None:
    with jobs_server(Play("RUNNING", None, LOG, cuts=[200]), DONE) as server:
        server.forgets = "x"
        job, _, said = run(server, retries=1)
    assert (job.id, job.exit_code) == ("x-2", 0)
    assert "x lost: the cluster was started anew" in said[1]


@pytest.mark.parametrize("retries", [0, 2])
def test_who_stops_following_is_told_that_nothing_retries_the_job(
    monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow_module, "_follow", interrupted)
    with (
        jobs_server(Play("RUNNING", None)) as server,
        pytest.raises(Left, match=r"detached from x, which goes on; .*--cancel x ends it") as left,
    ):
        run(server, retries)
    assert ("nothing retries it" in str(left.value)) == bool(retries)


def _submitted(server: JobsServer) -> Server:
    there = Server(server.url)
    there.submit(Request("x", "python -m jobs.cli fit --run x"))
    return there


@pytest.mark.parametrize("words", ["--out /data/run", "'--out=/data/run'"])
def test_a_jobs_folder_is_known_however_it_was_given(words: str) -> None:
    found = known(Job("x", "PENDING", f"python -m jobs.cli extract --data a.tar {words}"))
    assert found["folder"] == "/data/run"
    assert job_lines(found)[-1] == (
        "no status of its folder: /data/run is not a run folder: it has no run.json"
    )


def test_a_job_asks_for_what_its_driver_needs_and_sends_no_folder_without_files() -> None:
    driver = Driver(1, 0.5, 2**30, {"big": 1})
    with jobs_server(Play(), Play()) as server:
        there = Server(server.url)
        there.submit(Request("x", "true", driver, {"NHD_LOG": "json"}))
        there.submit(Request("y", "true", files={"sent/a.txt": b"a"}, code=b"PK"))
        first, second = server.requests
    assert first["entrypoint_num_cpus"] == 1 and first["entrypoint_num_gpus"] == 0.5
    assert first["entrypoint_memory"] == 2**30 and first["entrypoint_resources"] == {"big": 1}
    assert set(first["runtime_env"]) == {"env_vars"}
    assert first["runtime_env"]["env_vars"]["NHD_LOG"] == "json"
    assert second["runtime_env"]["working_dir"].startswith("gcs://")
    assert [uri[:6] for uri in second["runtime_env"]["py_modules"]] == ["gcs://"]


def test_cancelling_a_job_that_was_submitted_again_names_the_attempt_that_runs() -> None:
    said: list[str] = []
    with jobs_server(Play("FAILED", 3), Play("RUNNING", None)) as server:
        there = _submitted(server)
        there.submit(Request("x-2", "true"))
        assert stop(there, "x", said.append).exit_code == 3
    assert said == ["x is over, and was submitted again: nhd submit --cancel x-2"]


def test_a_server_that_is_away_for_a_moment_does_not_hide_the_end_of_a_cancelled_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, asked = Server.job, list[str]()

    def away_once(server: Server, name: str) -> Job:
        asked.append(name)
        if len(asked) == 1:
            raise Away("no answer")
        return job(server, name)

    monkeypatch.setattr(Server, "job", away_once)
    with jobs_server(Play("STOPPED", None)) as server:
        assert stop(_submitted(server), "x", list[str]().append).state == "STOPPED"
    assert len(asked) == 2


def test_servers_that_refuse_or_are_away_are_said_in_a_sentence() -> None:
    with jobs_server(Play(), Play()) as server:
        there = _submitted(server)
        with pytest.raises(Unknown, match="knows no job y; nhd status --jobs"):
            there.job("y")
        with pytest.raises(UsageError, match="--attach x follows it"):
            there.submit(Request("x", "true"))
        server.token = "t" * 32
        with pytest.raises(UsageError, match="asks for a token and was given none: set RAY_AUTH"):
            Server(server.url)
        server.token = ""
        with pytest.raises(UsageError, match=r"/no is no Jobs server of Ray; give the address"):
            Server(f"{server.url}/no")
    with pytest.raises(Away, match=r"no Jobs server answers at http://127\.0\.0\.1:9;"):
        Server("http://127.0.0.1:9")


def test_a_server_that_stays_away_ends_with_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "PATIENCE", 0.1)
    said: list[str] = []
    with jobs_server(Play("RUNNING", None, LOG, cuts=[100])) as server:
        there = _submitted(server)
    with pytest.raises(Incomplete, match=r"has not answered for 0 seconds; .*--attach x follows"):
        follow(there, "x", io.StringIO(), said.append)
    assert "does not answer" in said[0]
