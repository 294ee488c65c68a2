"""Pages for people: their frame, and what their policy lets them do."""

from tremula.infra.http.pages import page, page_headers, script_source


def test_a_title_is_text() -> None:
    html = page("<b>", "<p>body</p>").decode()

    assert "<title>&lt;b&gt;</title>" in html
    assert "<h1>&lt;b&gt;</h1>" in html
    assert "<p>body</p>" in html


def test_a_page_may_do_nothing_but_what_it_names() -> None:
    policy = page_headers("connect-src 'self'")["Content-Security-Policy"].split("; ")

    assert policy[0] == "default-src 'none'"
    assert "frame-ancestors 'none'" in policy
    assert policy[-1] == "connect-src 'self'"


def test_a_script_is_named_by_its_digest() -> None:
    # The example of CSP level 3, "Usage of 'unsafe-hashes'".
    assert script_source("doSubmit()") == (
        "'sha256-jzgBGA4UWFFmpOBq0JpdsySukE1FrEN5bUpoK8Z29fY='"
    )
