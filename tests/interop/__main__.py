"""Servers for tests that are not in Python: what `make test-js` has clients speak with.

Writes a line of JSON, ``{name: url}``, once they run: two Tremulas, and a Synapse where
``SYNAPSE_VENV`` names an environment with it. They run until the standard input ends;
the Tremulas' logs must be clean.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from tests.interop.gate import Gate
from tests.interop.synapse_peer import SynapsePeer
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.trust import new_trust


async def main(folder: Path) -> None:
    """Run the servers, each in a folder of its own below *folder*."""
    trust = new_trust(folder)
    python = Path(os.environ.get("SYNAPSE_VENV", "")) / "bin/python"
    async with AsyncExitStack() as stack:

        async def new_gate() -> Gate:
            gate = Gate()
            await gate.listen()
            stack.push_async_callback(gate.close)
            return gate

        tremulas = {
            name: TremulaPeer(folder / name, trust, await new_gate())
            for name in ("tremula", "tremula2")
        }
        peers: dict[str, TremulaPeer | SynapsePeer] = {**tremulas}
        if python.is_file():
            gate = await new_gate()
            peers["synapse"] = SynapsePeer(folder / "synapse", trust, gate, python)
        for peer in peers.values():
            stack.push_async_callback(peer.clean_up)
        await asyncio.gather(*(peer.start() for peer in peers.values()))
        urls = {name: peer.url for name, peer in peers.items()}
        sys.stdout.buffer.write(orjson.dumps(urls) + b"\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for tremula in tremulas.values():
            await tremula.stop()
            tremula.assert_without_complaints()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="tremula-interop-") as folder:
        asyncio.run(main(Path(folder)))
