"""The tests' workspaces: an account, a folder with a configuration, and runs of the tool in that folder."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capabilities
import schemas
from configuration import Table, merged, repository_configuration, toml
from endpoint import ROOT, Aws, control
from inventory import AccountInventory

BINARY = Path(os.environ.get("PB_TEST_BINARY", ROOT / "target" / "release" / "pb-deploy"))
#: Timeout of one run. No successful run takes that long; the tool's own `wait_timeout` is 60 s in these tests.
TIMEOUT_SECONDS = 120
#: Calls that write the tool's state and lease.
STATE_WRITES = {"s3:PutObject", "dynamodb:UpdateItem"}
#: Options with which a deploy can succeed although not every service is serving requests.
PARTIAL_OPTIONS = {"--target", "--no-wait", "--refresh-only"}


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Waits until a condition returns a truthy value, and returns that value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return value


def restore_sigint() -> None:
    """Restores the default action of SIGINT: background processes ignore it, and the tool would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def require_deploys(arguments: tuple[str, ...]) -> None:
    """Skips a test that deploys if the endpoint lacks a capability that every deploy needs."""
    if arguments and arguments[0] in ("deploy", "apply"):
        capabilities.require(*capabilities.DEPLOYS)


@dataclass
class Result:
    """Exit code and output of a run."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def expect_exit(self, code: int = 0) -> Result:
        """Asserts the exit code and returns the result itself."""
        assert self.code == code, f"exit {code} was expected, but the result is:\n{self}"
        return self

    @property
    def text(self) -> str:
        """Stdout and stderr."""
        return self.out + self.err

    def json(self) -> Any:
        """Returns the JSON document that was printed on stdout."""
        return json.loads(self.out)

    def lines(self) -> list[dict[str, Any]]:
        """Returns the JSON lines that were printed on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def events(self) -> list[dict[str, Any]]:
        """Returns the events that were printed on stdout, after checking each against its schema and its number."""
        return schemas.events(self.lines())


class Running:
    """A running tool. Its output goes to files, so that it never blocks on a pipe."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], number: int) -> None:
        self.arguments = tuple(command[1:])
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                preexec_fn=restore_sigint,
            )  # fmt: skip

    def result(self, timeout: float = TIMEOUT_SECONDS) -> Result:
        """Waits for the process to exit, and returns its result."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the tool did not exit within {timeout} s:\n{self.output_so_far()}") from None
        return Result(code, *self._output())

    def output_so_far(self) -> Result:
        """Returns the output so far, with -1 as the exit code."""
        return Result(-1, *self._output())

    def _output(self) -> tuple[str, str]:
        return self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Sends SIGKILL, as if the machine had failed."""
        self.process.kill()
        self.process.wait(10)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Sends SIGINT, as Ctrl-C does, or another signal."""
        self.process.send_signal(number)


class TestWorkspace:
    """An account with a configuration, and the tool's commands in it."""

    #: Tells pytest that this is not a test class, despite its name.
    __test__ = False

    def __init__(self, url: str, account: str, folder: Path) -> None:
        self.url, self.account, self.folder = url, account, folder
        self.aws = Aws(url, account)
        self.inventory = AccountInventory(self.aws)
        #: Configuration that each test starts with.
        self.initial_config = repository_configuration(account)
        self.config = self.initial_config
        self.config_file = folder / "pb_deploy.toml"
        #: Journal position at which a test last found that a deploy would change nothing.
        self._unchanged_at: int | None = None
        self._running: list[Running] = []
        #: Hook that is called with the arguments of each run before it starts; `conftest.py` starts probers in it.
        self.before_run: Callable[[tuple[str, ...]], None] = lambda _: None
        self.configure({})

    def create_prerequisites(self) -> None:
        """Creates the prerequisites: the resources that a deploy looks up but never creates."""
        aws, state = self.aws, self.config["state"]
        aws.s3.create_bucket(
            Bucket=state["bucket"], CreateBucketConfiguration={"LocationConstraint": self.config["region"]}
        )
        aws.s3.put_bucket_versioning(Bucket=state["bucket"], VersioningConfiguration={"Status": "Enabled"})
        aws.dynamodb.create_table(
            TableName=state["lock_table"],
            KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        aws.route53.create_hosted_zone(Name=self.config["hostname"], CallerReference="precondition")
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        aws.iam.create_role(RoleName=self.config["roles"]["execution"], AssumeRolePolicyDocument=document)

    def configure(self, changes: Table) -> None:
        """Changes the configuration and writes it; a value of None removes its key."""
        self.config = merged(self.config, changes)
        self.config_file.write_text(toml(self.config), encoding="utf-8")

    def reset(self) -> None:
        """Deploys the initial configuration, unless it is already deployed and nothing has changed since."""
        was_initial = self.config == self.initial_config
        self.config = self.initial_config
        self.configure({})
        if not (was_initial and self.is_unchanged()):
            self.deploy()
        self._unchanged_at = None

    def mark_unchanged(self) -> None:
        """Records that the account matches the configuration, so that the next test can start without a deploy."""
        self._unchanged_at = self.mark()

    def is_unchanged(self) -> bool:
        """Returns whether neither the tool nor a test has changed anything since `mark_unchanged`."""
        return self._unchanged_at is not None and not any(
            entry["mutating"] for entry in self._requests(self._unchanged_at)
        )

    def environment(self, changes: dict[str, str | None] | None = None) -> dict[str, str]:
        """Returns an environment without the user's variables, with these changes; None removes a variable."""
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "USER": "tester",
            "HOSTNAME": "test-host",
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **(changes or {}),
        }
        return {name: value for name, value in variables.items() if value is not None}

    def start(self, *arguments: str, url: str | None = None, env: dict[str, str | None] | None = None) -> Running:
        """Starts the tool."""
        self.before_run(arguments)
        return self._start(arguments, url, env)

    def _start(
        self, arguments: tuple[str, ...], url: str | None = None, env: dict[str, str | None] | None = None
    ) -> Running:
        require_deploys(arguments)
        environment = self.environment({**({"AWS_ENDPOINT_URL": url} if url else {}), **(env or {})})
        running = Running([str(BINARY), *arguments], self.folder, environment, len(self._running))
        self._running.append(running)
        return running

    def run(
        self,
        *arguments: str,
        url: str | None = None,
        env: dict[str, str | None] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Result:
        """Runs the tool and waits until it exits."""
        return self.start(*arguments, url=url, env=env).result(timeout)

    def deploy(self, workspace: str = "staging", code: int = 0) -> Result:
        """Deploys without a prompt."""
        return self.run("deploy", workspace, "--yes").expect_exit(code)

    def destroy(self, workspace: str = "staging", code: int = 0) -> Result:
        """Destroys without a prompt. An endpoint that does not run one-off tasks cannot count the jobs in the queue."""
        options = () if capabilities.has("queued-jobs") else ("--lose-jobs",)
        return self.run("destroy", workspace, "--yes", *options).expect_exit(code)

    def deployed_workspaces(self) -> set[str]:
        """Returns the workspaces that a run has deployed completely and that no later run has started to destroy."""
        deployed: set[str] = set()
        for running in self._running:
            command, workspace, *options = *running.arguments, "", ""
            if command == "deploy" and running.process.returncode == 0 and not PARTIAL_OPTIONS & set(options):
                deployed.add(workspace)
            elif command == "destroy":
                deployed.discard(workspace)
        return deployed

    def plan(self, workspace: str = "staging", *arguments: str) -> Plan:
        """Returns the plan."""
        return Plan(self.run("plan", workspace, "--json", *arguments).expect_exit().json())

    def assert_no_changes(self, workspace: str = "staging") -> None:
        """Asserts that another deploy finds no changes and makes no mutating calls."""
        since = self.mark()
        result = self._start(("deploy", workspace, "--yes")).result().expect_exit()
        assert "No changes" in result.err, result
        assert self.mutations(since) == []
        if workspace == "staging":
            self.mark_unchanged()

    def restore(self) -> None:
        """Deploys the initial configuration after a failure of any kind, and asserts that no changes remain."""
        self.config = self.initial_config
        self.configure({})
        self.deploy()
        self.assert_no_changes()

    @contextlib.contextmanager
    def paused_rollouts(self) -> Iterator[None]:
        """Pauses rollouts: services and tasks make no progress inside the context."""
        control(self.url, "rollouts", {"account": self.account, "paused": True})
        try:
            yield
        finally:
            control(self.url, "rollouts", {"account": self.account, "paused": False})

    def end(self) -> None:
        """Kills the runs that have not exited."""
        for running in self._running:
            if running.process.poll() is None:
                running.kill()

    def mark(self) -> int:
        """Returns the current position in the journal."""
        entries = control(self.url, f"requests?account={self.account}")["requests"]
        return int(entries[-1]["seq"]) if entries else 0

    def calls(self, since: int = 0) -> list[str]:
        """Returns the tool's calls since a position as `service:Action`, in order."""
        return [f"{entry['service']}:{entry['action']}" for entry in self._tool_requests(since)]

    def mutations(self, since: int = 0) -> list[str]:
        """Returns the tool's mutating calls since a position, in order, except refused writes to S3."""
        calls = [
            (f"{entry['service']}:{entry['action']}", entry["status"])
            for entry in self._tool_requests(since)
            if entry["mutating"]
        ]
        # A refused PutObject changes nothing: the tool makes such a call to check that the store honours conditions.
        return [call for call, status in calls if not (call == "s3:PutObject" and status >= 300)]

    def refusals(self, since: int = 0) -> list[str]:
        """Returns the tool's refused calls since a position, in order."""
        return [
            f"{entry['service']}:{entry['action']}" for entry in self._tool_requests(since) if entry["status"] >= 400
        ]

    def writes(self, since: int = 0) -> list[str]:
        """Returns the tool's mutating calls since a position, sorted, except writes of the state and the lease."""
        return sorted(call for call in self.mutations(since) if call not in STATE_WRITES)

    def _tool_requests(self, since: int) -> Iterable[dict[str, Any]]:
        return [entry for entry in self._requests(since) if "aws-sdk-rust" in entry["user_agent"]]

    def _requests(self, since: int) -> list[dict[str, Any]]:
        """Returns all calls since a position, including the tests' own calls."""
        return list(control(self.url, f"requests?account={self.account}&since={since}")["requests"])

    def state_key(self, workspace: str = "staging") -> str:
        """Returns the S3 key of the snapshot."""
        return f"{self.config.get('stack', 'pb-deploy')}/{workspace}/state.json"

    def state_object(self, workspace: str = "staging") -> dict[str, Any]:
        """Returns the stored snapshot."""
        answer = self.aws.s3.get_object(Bucket=self.config["state"]["bucket"], Key=self.state_key(workspace))
        return json.loads(answer["Body"].read())

    def put_state(self, body: bytes, workspace: str = "staging") -> None:
        """Stores these bytes as the snapshot."""
        self.aws.s3.put_object(Bucket=self.config["state"]["bucket"], Key=self.state_key(workspace), Body=body)

    def lock_id(self, workspace: str = "staging") -> str:
        """Returns the lock id that `unlock` requires."""
        return str(self.run("status", workspace, "--json").json()["lock"]["id"])

    def run_in_terminal(
        self, *arguments: str, answer: str, prompt: str = ": ", interrupt_when: Callable[[], bool] | None = None
    ) -> Result:
        """Runs the tool in a terminal, and answers its prompt or sends Ctrl-C once `interrupt_when` returns true."""
        require_deploys(arguments)
        self.before_run(arguments)
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [str(BINARY), *arguments],
            cwd=self.folder,
            env=self.environment({"TERM": "xterm"}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        text, answered, deadline = "", False, time.monotonic() + TIMEOUT_SECONDS
        interrupted = interrupt_when is None
        try:
            while time.monotonic() < deadline:
                if not interrupted and interrupt_when and interrupt_when():
                    process.send_signal(signal.SIGINT)
                    interrupted = True
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        text += os.read(master, 65536).decode("utf-8", "replace")
                    except OSError:
                        break
                elif process.poll() is not None:
                    break
                elif not answered and text.endswith(prompt):
                    os.write(master, f"{answer}\n".encode())
                    answered = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                return Result(process.wait(5), text, "")
            raise AssertionError(f"the tool did not exit:\n{text}")
        finally:
            process.kill()
            process.wait()
            os.close(master)


class Plan:
    """A plan, as `plan --json` prints it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.steps = {step["address"]: step for step in document["plan"]["steps"]}

    @property
    def changes(self) -> dict[str, str]:
        """Actions by address, except no-ops: `create`, `update`, `delete`, `delete_first`, `create_first`, `await`."""
        actions = {address: step["action"].get("order") or step["action"]["do"] for address, step in self.steps.items()}
        return {address: action for address, action in actions.items() if action != "no_op"}

    def fields(self, address: str) -> dict[str, tuple[Any, Any]]:
        """Returns the changed fields of the resource at an address, each with its values before and after."""
        changes = self.steps[address].get("changes", [])
        return {change["path"]: (change.get("before"), change.get("after")) for change in changes}

    def origin(self, address: str) -> str | None:
        """Returns the origin of a change: `configuration`, `drift` or `both`."""
        return self.steps[address].get("origin")
