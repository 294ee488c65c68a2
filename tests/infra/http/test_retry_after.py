"""When a client that is refused may come again."""

import pytest

from tremula.infra.http.errors import error_response
from tremula.protocol.errors import Forbidden, LimitExceeded, MatrixError, Unknown


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (LimitExceeded("slowly", retry_after_ms=1_200), "2"),
        (LimitExceeded("slowly"), None),
        (Unknown("moving", status=503, retry_after_ms=5_000), "5"),
        (Forbidden("never"), None),
    ],
)
def test_it_is_said_in_the_header(error: MatrixError, header: str | None) -> None:
    assert error_response(error).headers.get("Retry-After") == header
