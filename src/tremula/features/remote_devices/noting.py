"""Takes note that other servers are to be told of a change."""

from tremula.features.device_lists.service import DeviceListChange
from tremula.features.remote_devices import untold_storage as storage
from tremula.features.remote_devices.untold_storage import SIGNING_KEYS
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import UserId


def note_own_change(
    unit: JournalUnit, user_id: UserId, change: DeviceListChange, pos: int
) -> None:
    """Store with a change of one of our users that others are to be told of it.

    Implements ``OwnListener``. It costs one row a device: who is to be told is asked
    when it is done, and what is told is the newest that was committed. The row has the
    position that is announced: whoever hears of the change finds it.
    """
    what = [*change.device_ids, *([SIGNING_KEYS] if change.signing_keys else [])]
    storage.upsert_untold(unit, user_id, what, pos=pos)
