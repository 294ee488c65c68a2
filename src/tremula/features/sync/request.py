"""The parameters of CS ``sync``."""

from enum import StrEnum

from msgspec import Struct

from tremula.infra.tokens import StreamToken
from tremula.protocol.filters import Filter
from tremula.protocol.identifiers import DeviceId, UserId


class StateForm(StrEnum):
    """Where a room's state stands in the answer, and up to where it reaches."""

    START = "state"
    AFTER = "state_after"
    # MSC4222, before it was merged.
    UNSTABLE_AFTER = "org.matrix.msc4222.state_after"

    @property
    def is_after(self) -> bool:
        """Whether the state is that at the end of the timeline."""
        return self is not StateForm.START


class SyncRequest(Struct, frozen=True):
    """What one device asks for, checked."""

    user_id: UserId
    device_id: DeviceId | None
    since: StreamToken | None
    filter: Filter
    timeout_s: float
    full_state: bool
    state_form: StateForm

    @property
    def is_due(self) -> bool:
        """Whether there may be more messages to the device than the last answer had
        room for.
        """
        return self.since is not None and self.since.device_pos is not None
