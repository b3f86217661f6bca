"""The actors of a job, from the request to the end: asked for, placed, building, at work, gone.

As many are asked for as the live nodes have room for, or as the user wants: a request that no node
has room for waits, which is what makes an autoscaler start nodes. Workers are built one first, then
twice as many at a time, so that a mistake is made once and no store or weights server is stormed.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pipelines.errors import Incomplete, JobError
from pipelines.run.member import STARTING, Member, State
from pipelines.run.placement import Need, Node, fits, most, room

LOOK = 3.0  # seconds between looks at the cluster's nodes
PATIENCE = 60.0  # seconds until something is said about workers that do not start, and again
SLOW = 30.0  # seconds without news of those that build, after which one more may begin
WAIT = 1800.0  # seconds without a single worker after which the run is given up
STARTS = 5  # times that each worker may fail to start, with none succeeding between
FEW = 4  # workers that are thought of before one was built


class Crew:
    """Keeps as many actors as there should be; `ask` makes one, `nodes` tells of the cluster."""

    def __init__(
        self,
        ray: Any,
        ask: Callable[[], Any],
        nodes: Callable[[], list[Node]],
        size: int,
        need: Need,
        lease: float,
    ) -> None:
        self.ray, self.ask, self.nodes = ray, ask, nodes
        self.size, self.need, self.lease = size, need, lease
        self.members: list[Member] = []
        self.answers: dict[Any, Member] = {}  # reference of here() or build() → whose
        self.description: Any = None
        self.ever_built = self.failed_starts = 0
        now = time.monotonic()
        self.news = self.said = self.lived = now
        self.looked = self.not_before = 0.0
        self.draining: set[str] = set()
        self.cores: dict[str, float] = {}  # of each worker of a node
        self.wanted = self.limit = 1
        self.tend()

    def tend(self) -> None:
        """Bring the number of members to what it should be, and let the next ones build.

        Raises Incomplete if no worker could be had for too long, or they fail to start.
        """
        now = time.monotonic()
        if now - self.looked > LOOK:
            self.looked = now
            self._look(self.nodes())
        self._stuck()
        if now >= self.not_before:
            for _ in range(self.wanted - len(self._staying())):
                self._ask()
        self._build()
        self._speak()

    def _look(self, nodes: list[Node]) -> None:
        ours = Counter(member.about["node"] for member in self.members if member.about)
        self.draining = {node.id for node in nodes if node.draining}
        self.cores = {node.id: node.cpus / max(1, self._on(node)) for node in nodes}
        asked = min(len(self._staying()), most(nodes, self.need))  # some not told of yet by Ray
        self.wanted = self.size or max(1, room(nodes, self.need, ours), asked)
        staying = {node.id for node in nodes if not node.draining}
        for member in list(self.members):  # of those that build or are busy, an answer tells
            if member.state is State.BUSY and member.about["node"] in self.draining:
                self._leave(member)
            elif member.state in (State.PLACED, State.IDLE) and member.about["node"] not in staying:
                self.dismiss(member)
        waiting = self._in(State.ASKED)
        surplus = len(self._staying()) - (self.size or max(1, most(nodes, self.need)))
        for member in waiting[: max(0, surplus)]:
            self.dismiss(member)

    def _in(self, *states: State) -> list[Member]:
        return [member for member in self.members if member.state in states]

    def _staying(self) -> list[Member]:
        """Those whose node is not about to go, and those that have no node yet."""
        return [m for m in self.members if m.about.get("node") not in self.draining]

    def _on(self, node: Node) -> int:
        """How many workers a node may come to have, of those that are wanted."""
        return min(fits(node.cpus, node.gpus, self.need), self.wanted)

    def _leave(self, member: Member) -> None:
        """Let it finish what it has in hand, or hand back what of it is not begun."""
        member.enter(State.LEAVING)
        member.actor.leave.remote()
        print(f"the node of worker {member.about['pid']} is drained: it finishes", flush=True)

    def _ask(self) -> None:
        member = Member(self.ask())
        self.members.append(member)
        self.answers[member.actor.here.remote()] = member

    def _build(self) -> None:
        building = len(self._in(State.BUILDING))
        late = int((time.monotonic() - self.news) / SLOW) if building else 0
        at_once = max(1, self.ever_built) + late
        for member in self._in(State.PLACED)[: max(0, at_once - building)]:
            member.enter(State.BUILDING)
            self.news = member.since
            cores = self.cores.get(member.about["node"], 0.0)
            self.answers[member.actor.build.remote(cores)] = member

    def answered(self, reference: Any) -> None:
        """Take in an answer: where it is placed, or that it is built. Raises what is a JobError."""
        member = self.answers.pop(reference)
        if member not in self.members:
            return
        try:
            found = self.get(reference)
        except JobError:
            raise
        except Exception as error:
            self._failed_start(member, error)
            return
        if member.state is State.ASKED:
            member.about = found
            member.enter(State.PLACED)
            return
        member.enter(State.IDLE)
        self.description, self.news = found, member.since
        self.ever_built, self.failed_starts = self.ever_built + 1, 0

    def get(self, reference: Any) -> Any:
        """The result of a call; raises what it raised there."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None

    def dismiss(self, member: Member) -> None:
        """End an actor; it is replaced where there is room."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(member.actor)
        self.members.remove(member)

    def idle(self) -> list[Member]:
        """Those that can take a lease: with nothing to do, and on a node that stays."""
        return [member for member in self._staying() if member.state is State.IDLE]

    def back(self, member: Member) -> None:
        """Take a member back whose lease has ended; one that leaves has had its last."""
        if member.state is State.LEAVING:
            self.dismiss(member)
        else:
            member.enter(State.IDLE)

    def census(self) -> Counter[tuple[str, str]]:
        """Members by address (none before they have a place) and state: busy, idle, starting."""
        return Counter((m.about.get("address", ""), m.said) for m in self.members)

    def _stuck(self) -> None:
        """Give up builds that take longer than any worker may be silent; ask anew for the rest."""
        longest = max(self.lease, PATIENCE)
        for member in self._in(State.ASKED, State.BUILDING):
            if member.age() <= longest:
                continue
            if member.state is State.ASKED:  # no failure: there may be no node for it yet
                self.dismiss(member)
            else:
                print(f"worker {member.about['pid']} did not start and is ended", flush=True)
                self._failed_start(member, TimeoutError("it did not start in time"))

    def _failed_start(self, member: Member, error: Exception) -> None:
        self.dismiss(member)
        self.news = time.monotonic()
        if member.about and member.about["node"] not in {node.id for node in self.nodes()}:
            return
        self.failed_starts += 1
        self.not_before = self.news + min(10.0, 0.5 * self.failed_starts)
        if self.failed_starts >= STARTS * (
            self.wanted if self.ever_built else min(FEW, self.wanted)
        ):
            why = str(error).partition("\n")[0]
            raise Incomplete(
                f"{self.failed_starts} workers in a row failed to start, the last with: {why}; "
                "mend the cause and run the same command again"
            ) from error

    def _speak(self) -> None:
        now = time.monotonic()
        asked = self._in(State.ASKED)
        if len(asked) < len(self.members):
            self.lived = now
        elif now - self.lived > WAIT:
            raise Incomplete(
                f"no node had room for a worker of {self.need} for {WAIT / 60:.0f} minutes; what "
                "is committed stays: add nodes, or ask for less, and run the same command again"
            )
        late = sum(member.age() > PATIENCE for member in asked)
        if late and now - self.said > PATIENCE:
            self.said = now
            there = len(self.members) - len(self._in(*STARTING))
            print(
                f"{there} workers, and {late} wait for a node; each needs {self.need}", flush=True
            )

    def close(self) -> None:
        """End them all."""
        for member in list(self.members):
            self.dismiss(member)
