"""Networks of Linux: a namespace for each process, and wires that can be cut."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_IP: Final = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_TIMEOUT_S: Final = 10


class Net(IntEnum):
    """What a process is wired to: a network for each."""

    CLIENTS = 0
    DATABASE = 1
    BUS = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace with a wire to each network."""

    number: int
    tag: str
    prefix: str

    @property
    def name(self) -> str:
        """The namespace's."""
        return f"trm{self.tag}-{self.number}"

    def address(self, net: Net) -> str:
        """What this place is called on *net*."""
        return f"{self.prefix}.{net:d}.{10 + self.number}"

    def command(self, *command: str) -> tuple[str, ...]:
        """*command*, to be run here."""
        assert _IP is not None
        return (_IP, "netns", "exec", self.name, *command)

    def cut(self, *nets: Net) -> None:
        """Nothing gets through any more, and nobody is told."""
        for net in nets:
            _ip("link", "set", self._wire(net), "nomaster")

    def mend(self, *nets: Net) -> None:
        """Everything gets through again."""
        for net in nets:
            _ip("link", "set", self._wire(net), "master", _bridge(self.tag, net))

    def lay(self) -> None:
        """Make the namespace and its wires."""
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for net in Net:
            wire, end = self._wire(net), f"net{net:d}"
            _ip("link", "add", wire, "type", "veth", "peer", end, "netns", self.name)
            _ip("link", "set", wire, "up")
            address = f"{self.address(net)}/24"
            _ip("-n", self.name, "address", "add", address, "dev", end)
            _ip("-n", self.name, "link", "set", end, "up")
        self.mend(*Net)

    def remove(self) -> None:
        """Take all of it away.

        A namespace lasts for as long as the connections of a dead process, and would
        keep its wires.
        """
        for net in Net:
            _ip("link", "delete", self._wire(net))
        _ip("netns", "delete", self.name)

    def _wire(self, net: Net) -> str:
        return f"trm{self.tag}{self.number}{net:d}"


@dataclass(frozen=True, slots=True)
class Wires:
    """The networks, which this process is on, too."""

    places: tuple[Place, ...]
    prefix: str

    def own_address(self, net: Net) -> str:
        """Where the places reach what runs beside the tests."""
        return f"{self.prefix}.{net:d}.1"


@contextmanager
def wired(count: int) -> Iterator[Wires]:
    """So many places; nothing of it is left at the end."""
    # Those of another run on this machine are called otherwise.
    tag, prefix = secrets.token_hex(2), f"10.{128 + secrets.randbelow(127)}"
    with ExitStack() as stack:
        for net in Net:
            bridge = _bridge(tag, net)
            _ip("link", "add", bridge, "type", "bridge")
            stack.callback(_ip, "link", "delete", bridge)
            _ip("address", "add", f"{prefix}.{net:d}.1/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
        places = tuple(Place(number, tag, prefix) for number in range(count))
        for place in places:
            place.lay()
            stack.callback(place.remove)
        yield Wires(places, prefix)


def why_not() -> str | None:
    """Why there can be no wires here; None if there can."""
    if _IP is None:
        return "the program ip (iproute2) is not installed"
    try:
        with wired(1):
            return None
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip()
        return f"network namespaces can't be made here: {said}"


def _bridge(tag: str, net: Net) -> str:
    return f"trm{tag}b{net:d}"


def _ip(*arguments: str) -> None:
    assert _IP is not None
    subprocess.run(
        (_IP, *arguments),
        check=True,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
