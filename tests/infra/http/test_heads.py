"""Headers by their names."""

from tremula.infra.http.heads import headers_by_name


def test_of_a_repeated_header_the_last_counts() -> None:
    headers = headers_by_name([(b"host", b"a"), (b"accept", b"*"), (b"host", b"b")])

    assert headers == {b"host": b"b", b"accept": b"*"}


def test_lines_of_several_proxies_are_one_list() -> None:
    lines = [(b"x-forwarded-for", b"192.0.2.1, 10.0.0.1"), (b"accept", b"*")]

    headers = headers_by_name([*lines, (b"x-forwarded-for", b"10.0.0.2")])

    assert headers[b"x-forwarded-for"] == b"192.0.2.1, 10.0.0.1,10.0.0.2"
