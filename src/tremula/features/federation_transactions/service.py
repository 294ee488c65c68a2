"""Transactions of other servers: each is taken in once, however often it is sent."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tremula.features.federation_transactions.edus import InboundEdus
from tremula.features.federation_transactions.pdus import InboundPdus
from tremula.infra.cache import ByteLRU
from tremula.infra.federation.destination import EDUS_MAX, PDUS_MAX
from tremula.infra.locks import KeyedLocks
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.errors import BadJson, LimitExceeded
from tremula.protocol.identifiers import ServerName

# {"pdus": {event_id: {} or {"error": …}}}
Answer = dict[str, dict[str, dict[str, str]]]

# A server sends one at a time; more at once are repetitions, or an attack.
_AT_ONCE_MAX: Final = 8
_RETRY_AFTER_MS: Final = 5_000
_ANSWERS_BYTES: Final = 8 * 1024 * 1024
_ANSWER_BYTES: Final = 500
_RESULT_BYTES: Final = 400
_SLOT_KIND: Final = "federation_transaction"


class IncomingTransaction(Struct, frozen=True):
    """The command that travels to the holder of the origin's slot."""

    txn_id: str
    pdus: list[Any]
    edus: list[Any]


class Transactions:
    """Takes transactions in, those of one server one after the other: the holder of its
    slot does.

    A transaction that comes again gets the answer of the first time, also while that
    is still being made. Answers are remembered in memory, the newest ones only: after
    a restart, when its slot has moved, or much later, it is taken in again. Then its
    PDUs are known by their IDs and change nothing; a PDU that was answered for is on
    the disk. An EDU says how things are, and so may be taken in twice, or has an ID
    that its handler knows.
    """

    def __init__(self, pdus: InboundPdus, edus: InboundEdus, slots: Slots) -> None:
        self._pdus = pdus
        self._edus = edus
        self._slots = slots
        self.answers: ByteLRU[tuple[ServerName, str], Answer] = ByteLRU(_ANSWERS_BYTES)
        self._at_once: Counter[ServerName] = Counter()
        self._turns: KeyedLocks[ServerName] = KeyedLocks()
        slots.register(
            _SLOT_KIND, self._receive, CallTypes(IncomingTransaction, Answer)
        )

    async def receive(
        self,
        origin: ServerName,
        txn_id: str,
        pdus: Sequence[Any],
        edus: Sequence[Any],
    ) -> Answer:
        """Take in a transaction of *origin*; what became of each PDU.

        Raises:
            BadJson: it has more PDUs or EDUs than a transaction may have.
            LimitExceeded: *origin* sends too many at once.
        """
        if len(pdus) > PDUS_MAX or len(edus) > EDUS_MAX:
            raise BadJson(
                f"a transaction has at most {PDUS_MAX} PDUs and {EDUS_MAX} EDUs"
            )
        if not self._slots.holds(origin):
            pdus = [each if _can_travel(each) else None for each in pdus]
            edus = [each if _can_travel(each) else None for each in edus]
        command = IncomingTransaction(txn_id, list(pdus), list(edus))
        answer: Answer = await self._slots.call(_SLOT_KIND, origin, command)
        return answer

    async def _receive(self, key: str, transaction: IncomingTransaction) -> Answer:
        origin = ServerName(key)
        if self._at_once[origin] >= _AT_ONCE_MAX:
            raise LimitExceeded(
                "send one transaction at a time", retry_after_ms=_RETRY_AFTER_MS
            )
        self._at_once[origin] += 1
        try:
            # Who repeats a transaction that is under way waits here for its answer.
            async with self._turns.of(origin):
                return await self._answer(origin, transaction)
        finally:
            self._at_once[origin] -= 1
            if not self._at_once[origin]:
                del self._at_once[origin]

    async def _answer(
        self, origin: ServerName, transaction: IncomingTransaction
    ) -> Answer:
        key = (origin, transaction.txn_id)
        answer = self.answers.get(key)
        if answer is None:
            answer = {"pdus": await self._pdus.receive(origin, transaction.pdus)}
            await self._edus.receive(origin, transaction.edus)
            size_bytes = _ANSWER_BYTES + _RESULT_BYTES * len(answer["pdus"])
            self.answers.put(key, answer, size_bytes)
        return answer


def _can_travel(value: object) -> bool:
    """Whether another process can be given a PDU or an EDU: no valid one has integers
    past 64 bits, or halves of surrogate pairs.
    """
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True
