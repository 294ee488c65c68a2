"""Which member should hold which slot: pure, the same in every process.

Rendezvous hashing: each slot goes to the member with the highest hash of both. If one
comes, it takes from all others; if one goes, its slots spread over all that are left;
no other slot moves.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from tremula.infra.cluster.members import Member, Sight
from tremula.infra.slots import SlotLease

_REMEMBERED: Final = 64
_MEMBERS_REMEMBERED: Final = 1_024


class Steps(Struct, frozen=True):
    """What a member should do now: whom to bury, which slots to take and to give."""

    bury: tuple[str, ...] = ()
    claim: tuple[int, ...] = ()
    give: tuple[SlotLease, ...] = ()


@lru_cache(_REMEMBERED)
def assigned(members: tuple[str, ...], slots: int) -> tuple[str | None, ...]:
    """The member that should hold each of *slots* slots; None if there is none."""
    if not members:
        return (None,) * slots
    weights = [_weights(member, slots) for member in members]
    return tuple(
        max(zip(column, members, strict=True))[1]
        for column in zip(*weights, strict=True)
    )


def candidates(members: Sequence[Member]) -> tuple[str, ...]:
    """Who may hold slots: who stays, and is on the bus if anybody is."""
    staying = [each for each in members if not each.is_leaving and not each.is_late]
    reachable = [each for each in staying if each.is_reachable]
    return tuple(sorted(each.id for each in reachable or staying))


def steps(
    member: str, sight: Sight, taking: Collection[int], *, may_bury: bool
) -> Steps:
    """What *member*, which takes commands for the slots *taking*, should do.

    Slots are free that nobody holds, or one who is no member. Those who are late hold
    theirs until they are buried, which only a member does that *may_bury*. What is its
    own without its knowing (the connection was lost), or has begun to be given away,
    it claims anew.
    """
    late = {each.id for each in sight.members if each.is_late and each.id != member}
    present = {each.id for each in sight.members}
    if may_bury:
        present -= late
    owners = assigned(candidates(sight.members), len(sight.holdings))
    claim: list[int] = []
    give: list[SlotLease] = []
    for slot, (owner, holding) in enumerate(zip(owners, sight.holdings, strict=True)):
        if owner == member:
            is_anew = holding.member == member and slot not in taking
            if is_anew or holding.member not in present:
                claim.append(slot)
        elif holding.member == member:
            give.append(SlotLease(slot, holding.epoch))
    return Steps(tuple(sorted(late)) if may_bury else (), tuple(claim), tuple(give))


@lru_cache(_MEMBERS_REMEMBERED)
def _weights(member: str, slots: int) -> tuple[bytes, ...]:
    """How much *member* is meant for each slot. Takes 1 ms for 1,024 of them."""
    return tuple(
        blake2b(f"{member} {slot}".encode(), digest_size=8).digest()
        for slot in range(slots)
    )
