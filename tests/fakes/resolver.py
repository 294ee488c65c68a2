"""A DNS that knows what the test says."""

from dataclasses import dataclass, field

from tremula.infra.outbound.errors import ConnectFailed, NameNotFound
from tremula.infra.outbound.resolver import Addresses, SrvRecord


@dataclass(slots=True)
class FakeResolver:
    """Implements ``Resolver``. A name with several answers gives one after the other.

    The last answer stays. ``broken`` names get no answer at all.
    """

    names: dict[str, list[Addresses]] = field(default_factory=dict)
    srv: dict[str, tuple[SrvRecord, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def point(self, hostname: str, *ips: str, is_alias: bool = False) -> None:
        """Let *hostname* have these addresses, after those that it had before."""
        self.names.setdefault(hostname, []).append(Addresses(ips, is_alias))

    async def addresses(self, hostname: str) -> Addresses:
        """What the test said of *hostname*."""
        self._ask(hostname)
        answers = self.names.get(hostname)
        if not answers:
            raise NameNotFound(f"{hostname} has no address")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def services(self, name: str) -> tuple[SrvRecord, ...]:
        """What the test said of *name*."""
        self._ask(name)
        return self.srv.get(name, ())

    async def close(self) -> None:
        """Nothing to let go."""

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.broken:
            raise ConnectFailed(f"looking up {name}: broken")
