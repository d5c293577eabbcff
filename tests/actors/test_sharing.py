"""Changes shared by workers: in order, to one at a time, until they are done."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from palimpsest.actors.sharing import FULL_SECONDS, Sharing, Worker
from palimpsest.state.subscriptions import Letter


class Hand(Worker):
    """A worker that can be told to take nothing."""

    def __init__(
        self,
        name: str = "",
        *,
        ack_seconds: float = 30.0,
        tries_max: int = 5,
        unacked_max: int = 16,
        served: bool = True,
    ) -> None:
        super().__init__(ack_seconds, tries_max, unacked_max)
        self.name = name
        self.served = served

    @property
    def is_served(self) -> bool:
        return self.served


def offer(sharing: Sharing[Hand], *documents: str) -> None:
    for document in documents:
        sharing.offer(sharing.next, document, "main", sharing.next)


def handed(sharing: Sharing[Hand], now: float = 0.0) -> list[tuple[str, int, int]]:
    """Who gets what, and which delivery it is."""
    found: list[tuple[str, int, int]] = []
    while (delivery := sharing.deliver(now)) is not None:
        worker, item = delivery
        found.append((worker.name, item.position, sharing.tries(item)))
    return found


def shared(*workers: Hand, **options: Any) -> Sharing[Hand]:
    sharing = Sharing[Hand](0, **options)
    for worker in workers:
        sharing.join(worker)
    return sharing


# --- who gets what ---------------------------------------------------------------------------------------------------


def test_nobody_gets_anything_where_there_is_nobody() -> None:
    sharing = shared()
    offer(sharing, "a", "b")
    assert sharing.deliver(0) is None
    assert (sharing.waiting, sharing.open, sharing.floor) == (2, 2, 0)


def test_documents_are_spread_and_stay_with_their_worker() -> None:
    sharing = shared(Hand("x"), Hand("y"))
    offer(sharing, "a", "b", "a", "b", "a")
    assert sorted(handed(sharing)) == [("x", 1, 1), ("x", 3, 1), ("x", 5, 1), ("y", 2, 1), ("y", 4, 1)]


def test_a_document_goes_to_another_once_nothing_of_it_is_unacknowledged() -> None:
    x, y = Hand("x"), Hand("y")
    sharing = shared(x, y)
    offer(sharing, "a")
    assert handed(sharing) == [("x", 1, 1)]
    sharing.ack([1], 0)
    x.served = False
    offer(sharing, "a")
    assert handed(sharing) == [("y", 2, 1)]


def test_a_document_waits_for_its_worker() -> None:
    x = Hand("x", unacked_max=1)
    sharing = shared(x, Hand("y"))
    offer(sharing, "a", "a", "b")
    assert handed(sharing) == [("x", 1, 1), ("y", 3, 1)]
    sharing.ack([1], 0)
    assert [position for _, position, _ in handed(sharing)] == [2]


def test_no_more_than_a_worker_wants() -> None:
    sharing = shared(Hand("x", unacked_max=2))
    offer(sharing, "a", "b", "c")
    assert handed(sharing) == [("x", 1, 1), ("x", 2, 1)]
    sharing.ack([2], 0)
    assert handed(sharing) == [("x", 3, 1)]


# --- how far it is ---------------------------------------------------------------------------------------------------


def test_the_floor_is_below_the_oldest_that_is_open() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a", "b")
    sharing.passed(10)
    offer(sharing, "c")
    handed(sharing)
    assert sharing.ack([2, 10], 0)
    assert (sharing.floor, sharing.done()) == (0, ((2, 10),))
    assert sharing.ack([1], 0)
    assert (sharing.floor, sharing.done()) == (10, ())
    sharing.passed(20)
    assert sharing.floor == 19


def test_an_acknowledgement_said_again_is_nothing_new() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a")
    assert sharing.ack([1], 0)
    assert not sharing.ack([1], 0)


def test_what_is_acknowledged_before_it_was_read_is_not_delivered() -> None:
    sharing = shared(Hand("x"))
    assert sharing.ack([2, 3], 0)
    assert not sharing.ack([2], 0)
    assert sharing.done() == ((2, 2), (3, 3))
    offer(sharing, "a", "a", "b", "c")
    assert [position for _, position, _ in handed(sharing)] == [1, 4]
    assert sharing.done() == ((2, 3),)


def test_what_was_done_goes_on_after_a_restart() -> None:
    sharing = shared(Hand("x"), done=((2, 3), (6, 9)), failures={4: 2})
    offer(sharing, *"abcdefg")
    assert [delivery[1:] for delivery in handed(sharing)] == [(1, 1), (4, 3), (5, 1)]
    assert sharing.done() == ((2, 3), (6, 7), (8, 9))
    assert sharing.failures() == {4: 2}


def test_a_change_that_takes_long_does_not_hold_up_the_others() -> None:
    sharing = shared(Hand("x", unacked_max=100), open_max=10)
    offer(sharing, "slow")
    for _ in range(100):
        offer(sharing, "a")
        handed(sharing)
        sharing.ack([sharing.next - 1], 0)
    assert sharing.has_room
    assert (sharing.floor, sharing.done(), sharing.open) == (0, ((2, 101),), 1)


# --- failures --------------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_in_time_goes_to_another() -> None:
    sharing = shared(Hand("x", ack_seconds=10), Hand("y"))
    offer(sharing, "a", "a", "b")
    assert sorted(handed(sharing)) == [("x", 1, 1), ("x", 2, 1), ("y", 3, 1)]
    assert sharing.next_time() == 10
    assert not sharing.expire(9.9)
    assert sharing.expire(10)
    assert handed(sharing, 10) == [("y", 1, 2), ("y", 2, 1)]


def test_it_goes_to_the_same_where_there_is_no_other() -> None:
    sharing = shared(Hand("x", ack_seconds=10))
    offer(sharing, "a")
    handed(sharing)
    sharing.expire(10)
    assert handed(sharing, 10) == [("x", 1, 2)]


def test_the_time_begins_when_a_change_is_the_first_of_its_document() -> None:
    sharing = shared(Hand("x", ack_seconds=10))
    offer(sharing, "a", "a")
    handed(sharing)
    sharing.ack([1], 9)
    assert not sharing.expire(18.9)
    assert sharing.expire(19)


def test_a_worker_that_is_gone_has_failed_with_the_first_of_each_document() -> None:
    x, y = Hand("x"), Hand("y", served=False)
    sharing = shared(x, y)
    offer(sharing, "a", "a", "b")
    handed(sharing)
    y.served = True
    sharing.leave(x, 1, "gone")
    assert sorted(handed(sharing, 1)) == [("y", 1, 2), ("y", 2, 1), ("y", 3, 2)]


def test_a_worker_that_leaves_has_not_failed() -> None:
    x, y = Hand("x"), Hand("y", served=False)
    sharing = shared(x, y)
    offer(sharing, "a")
    handed(sharing)
    y.served = True
    sharing.leave(x, 1, None)
    assert handed(sharing, 1) == [("y", 1, 1)]


def test_what_is_refused_comes_again_with_what_is_behind_it() -> None:
    sharing = shared(Hand("x"), Hand("y", served=False))
    offer(sharing, "a", "a", "a")
    handed(sharing)
    assert sharing.nack(2, 0, reason="no")
    assert handed(sharing) == [("x", 2, 2), ("x", 3, 1)]
    assert not sharing.nack(7, 0, reason="there is none")


def test_what_is_refused_may_wait() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a", "a", "b")
    handed(sharing)
    sharing.nack(1, 0, reason="no", delay_seconds=5)
    assert handed(sharing, 4.9) == []
    assert (sharing.next_time(), sharing.waiting) == (5, 0)
    assert handed(sharing, 5) == [("x", 1, 2), ("x", 2, 1)]


def test_what_waits_and_is_acknowledged_after_all_holds_up_nothing() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a", "a")
    handed(sharing)
    sharing.nack(1, 0, reason="no", delay_seconds=5)
    sharing.ack([1], 1)
    assert handed(sharing, 1) == [("x", 2, 1)]


def test_what_fails_too_often_is_put_aside() -> None:
    sharing = shared(Hand("x", tries_max=2))
    offer(sharing, "a", "a")
    handed(sharing)
    sharing.nack(1, 0, reason="no")
    handed(sharing)
    sharing.nack(1, 0, reason="still no" + "o" * 2000)
    letter = sharing.dead[1]
    assert (letter.document, letter.branch, letter.version, letter.tries) == ("a", "main", 1, 2)
    assert letter.reason[:8] == "still no"
    assert len(letter.reason) == 1000
    assert handed(sharing) == [("x", 2, 1)]
    assert sharing.floor == 1


def test_what_cannot_be_put_aside_is_tried_again_late() -> None:
    sharing = shared(Hand("x", tries_max=1), dead_max=1)
    offer(sharing, "a", "b")
    handed(sharing)
    sharing.nack(1, 0, reason="no")
    sharing.nack(2, 0, reason="no")
    assert list(sharing.dead) == [1]
    assert handed(sharing, FULL_SECONDS - 0.1) == []
    assert handed(sharing, FULL_SECONDS) == [("x", 2, 2)]


def test_what_cannot_be_sent_is_put_aside_at_once() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a")
    found = sharing.deliver(0)
    assert found is not None
    sharing.refuse(found[1], 0, "too large")
    assert sharing.dead[1].reason == "too large"


def test_what_could_not_be_sent_yet_is_no_failure() -> None:
    sharing = shared(Hand("x"))
    offer(sharing, "a")
    found = sharing.deliver(0)
    assert found is not None
    sharing.return_unsent(found[1], 0, 1.0)
    assert handed(sharing, 1) == [("x", 1, 1)]


# --- dead letters ----------------------------------------------------------------------------------------------------

LETTER = Letter(document="a", branch="main", version=1, tries=5, reason="no")


def test_dead_letters_are_delivered_again() -> None:
    sharing = shared(Hand("x", tries_max=1), dead={1: LETTER}, done=((1, 1),))
    sharing.passed(5)
    assert not sharing.redrive([2])
    assert sharing.redrive([1])
    assert not sharing.redrive([1])
    assert sharing.floor == 4
    assert handed(sharing) == [("x", 1, 6)]
    sharing.nack(1, 0, reason="still no")
    assert (sharing.dead[1].tries, sharing.dead[1].reason, sharing.dead[1].again) == (6, "still no", False)
    sharing.redrive([1])
    handed(sharing)
    assert sharing.ack([1], 0)
    assert sharing.dead == {}


def test_dead_letters_that_were_on_their_way_are_so_after_a_restart() -> None:
    sharing = shared(
        Hand("x"), dead={1: Letter(document="a", branch="main", version=1, tries=5, reason="", again=True)}
    )
    assert handed(sharing) == [("x", 1, 6)]


def test_a_dead_letter_that_is_acknowledged_late_is_done() -> None:
    sharing = shared(dead={1: LETTER})
    sharing.passed(2)
    assert sharing.ack([1], 0)
    assert sharing.dead == {}


def test_a_dead_letter_comes_before_what_was_not_sent_of_its_document() -> None:
    x = Hand("x", served=False)
    sharing = shared(x, dead={1: LETTER})
    sharing.passed(2)
    offer(sharing, "a")
    sharing.redrive([1])
    x.served = True
    assert [position for _, position, _ in handed(sharing)] == [1, 2]


def test_heaps_are_kept_small() -> None:
    sharing = shared(Hand("x", ack_seconds=1e6))
    for _ in range(1_000):
        offer(sharing, "a")
        handed(sharing)
        sharing.ack([sharing.next - 1], 0)
    assert len(sharing._deadlines.entries) < 100
    assert len(sharing._queue.entries) < 100


# --- against a model -------------------------------------------------------------------------------------------------

OPEN_MAX, DEAD_MAX = 12, 3


class Sharings(RuleBasedStateMachine):
    """The model: what is to be done, by position; what has been done; and what each worker was handed, as it would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.sharing = Sharing[Hand](0, open_max=OPEN_MAX, dead_max=DEAD_MAX)
        self.workers: list[Hand] = []
        self.now = 0.0
        self.documents: dict[int, str] = {}
        """All that was ever offered."""
        self.acked: set[int] = set()
        self.hands: dict[int, Hand] = {}
        """Who has what, by the deliveries and what was taken back."""

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.come(4)

    @rule(unacked_max=st.integers(1, 4))
    def come(self, unacked_max: int) -> None:
        worker = Hand(str(len(self.workers)), ack_seconds=10, tries_max=3, unacked_max=unacked_max)
        self.workers.append(worker)
        self.sharing.join(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), failed=st.booleans())
    def go(self, data: Any, failed: bool) -> None:
        worker = self.workers.pop(data.draw(st.integers(0, len(self.workers) - 1)))
        self.sharing.leave(worker, self.now, "gone" if failed else None)
        self.look()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def stop_or_start(self, data: Any) -> None:
        worker = self.workers[data.draw(st.integers(0, len(self.workers) - 1))]
        worker.served = not worker.served

    @precondition(lambda self: self.sharing.has_room)
    @rule(documents=st.lists(st.sampled_from("abc"), min_size=1, max_size=4), skipped=st.integers(0, 2))
    def happen(self, documents: list[str], skipped: int) -> None:
        for document in documents:
            if self.sharing.has_room:
                position = self.sharing.next + skipped
                self.documents[position] = document
                self.sharing.offer(position, document, "main", position)

    @rule()
    def hand_out(self) -> None:
        while (found := self.sharing.deliver(self.now)) is not None:
            worker, item = found
            assert worker in self.workers
            assert worker.served
            assert item.position not in self.acked, "nothing that is done is delivered again"
            assert item.position not in self.hands, "nothing is with two workers"
            of_document = [p for p in self.hands if self.documents[p] == item.document]
            assert all(self.hands[p] is worker for p in of_document), "a document is with one worker"
            letter = self.sharing.dead.get(item.position)
            if letter is None:
                dead = self.sharing.dead
                assert all(p < item.position for p in of_document if p not in dead), "nothing later came before it"
                earlier = [p for p, d in self.documents.items() if d == item.document and p < item.position]
                assert all(p in self.hands for p in earlier if self.sharing.is_open(p) and p not in dead), "in order"
            self.hands[item.position] = worker
            assert sum(hand is worker for hand in self.hands.values()) <= worker.unacked_max

    @precondition(lambda self: self.documents)
    @rule(data=st.data())
    def acknowledge(self, data: Any) -> None:
        positions = data.draw(st.lists(st.sampled_from(sorted(self.documents)), min_size=1, max_size=4))
        self.sharing.ack(positions, self.now)
        self.acked.update(positions)
        self.look()

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 3.0]))
    def refuse(self, data: Any, delay: float) -> None:
        position = data.draw(st.sampled_from(sorted(self.hands)))
        before = {p for p, d in self.documents.items() if d == self.documents[position] and p in self.hands}
        assert self.sharing.nack(position, self.now, reason="no", delay_seconds=delay)
        self.look()
        assert position not in self.hands
        assert all(p in before for p in self.hands if self.documents[p] == self.documents[position])

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = self.sharing.next_time()
        assert self.sharing.expire(self.now) <= (due is not None and due <= self.now)
        self.look()

    @rule()
    def redrive(self) -> None:
        self.sharing.redrive(sorted(self.sharing.dead))

    @rule(lost=st.sampled_from(["nothing", "workers"]))
    def restart(self, lost: str) -> None:
        """On what was kept, as after a crash."""
        old = self.sharing
        floor, done = old.floor, old.done()
        self.sharing = Sharing[Hand](
            floor, done=done, failures=old.failures(), dead=old.dead, open_max=OPEN_MAX, dead_max=DEAD_MAX
        )
        self.workers = [] if lost == "workers" else [Hand(str(number)) for number in range(2)]
        for worker in self.workers:
            self.sharing.join(worker)
        self.hands.clear()
        end = old.next
        for position, document in sorted(self.documents.items()):
            if position > floor:
                self.sharing.offer(position, document, "main", position)
        self.sharing.passed(end)

    def look(self) -> None:
        """What was taken back, or is done, is in nobody's hands."""
        self.hands = {p: worker for p, worker in self.hands.items() if self.sharing.worker_of(p) is worker}

    @invariant()
    def nothing_is_lost(self) -> None:
        sharing = self.sharing
        for position in self.documents:
            is_known = sharing.is_open(position) or position in sharing.dead
            assert is_known is (position not in self.acked), "open or put aside, until it is done; and then neither"
            is_kept_done = position <= sharing.floor or any(first <= position <= last for first, last in sharing.done())
            assert is_kept_done is (position in self.acked or position in sharing.dead)

    @invariant()
    def counts_are_right(self) -> None:
        sharing = self.sharing
        assert sharing.in_flight == len(self.hands) == sum(worker.unacked for worker in sharing.workers)
        assert len(sharing.dead) <= DEAD_MAX
        assert sharing.done() == tuple(sorted(sharing.done()))
        assert len(sharing.done()) <= sharing.open + 1

    @invariant()
    def what_can_go_on_goes_on(self) -> None:
        """Once a worker that takes anything has nothing, and all times are over, whatever is open is delivered."""
        if self.sharing.open and self.sharing.next_time() is None and not self.hands:
            assert self.sharing.waiting > 0


TestSharings = Sharings.TestCase
