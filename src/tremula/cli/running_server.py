"""Commands that a running server carries out: its administrators' endpoints."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tremula.cli.failures import CommandFailed, ExitCode

_TIMEOUT_S: Final = 60


class RunningServer(Struct, frozen=True):
    """A server at *url*, asked with an administrator's access token."""

    url: str
    token: str

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """The answer to a question."""
        return self._ask("GET", path, None)

    def put(self, path: str, body: object) -> Any:  # noqa: ANN401 - any JSON
        """Have something made or changed."""
        return self._ask("PUT", path, body)

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401 - any JSON
        """Have something done."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Have something removed."""
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: object) -> Any:  # noqa: ANN401
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise CommandFailed(f"{self.url} is not an http(s) URL", ExitCode.CONFIG)
        request = Request(  # noqa: S310 - see above
            self.url.rstrip("/") + path,
            data=None if body is None else msgspec.json.encode(body),
            headers={"Authorization": f"Bearer {self.token}"},
            method=method,
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read())
        except HTTPError as error:
            raise CommandFailed(_reason(error.read()), ExitCode.REFUSED) from error
        except (OSError, msgspec.DecodeError) as error:
            problem = f"no server answers at {self.url}: {error}"
            raise CommandFailed(problem, ExitCode.ADDRESS) from error


class _Refusal(Struct):
    """The standard error response."""

    errcode: str
    error: str


def _reason(raw: bytes) -> str:
    try:
        refusal = msgspec.json.decode(raw, type=_Refusal)
    except msgspec.MsgspecError:
        return "the server refuses without a reason"
    return f"{refusal.errcode}: {refusal.error}"
