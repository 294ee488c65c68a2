"""Clients that encrypt, for people whose accounts nio has made."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.bridges.environments import own_program
from tests.bridges.matrix_user import MatrixUser
from tests.bridges.program import Program
from tests.homeserver import Homeserver

# State to create a room with.
ENCRYPTED: Final = {
    "type": "m.room.encryption",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


async def start(
    homeserver: Homeserver, user: MatrixUser, stack: AsyncExitStack, folder: Path
) -> Program:
    """One that has the device which the account came with."""
    nio = user.nio.client
    arguments = (homeserver.url, nio.user_id, nio.access_token, nio.device_id)
    log = folder / f"{nio.user_id[1:6]}.log"
    program = own_program("matrix_user", *arguments, log=log)
    stack.push_async_callback(program.clean_up)
    await program.start()
    await program.told(seen="ready")
    return program
