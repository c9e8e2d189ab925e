import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from anymask.demo.guards import Credentials, Guard


async def hello(request):
    return PlainTextResponse("hello")


INNER = Starlette(routes=[Route("/", hello), Route("/api/info", hello, methods=["GET", "POST"])])


def status(headers, path="/api/info", method="POST", **guard):
    client = TestClient(Guard(INNER, **guard), base_url="http://localhost:80")
    return client.request(method, path, headers=headers).status_code


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_loopback_names_are_let_in(host):
    assert status({"host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.4", "", "[", "a@localhost:b:c"],
)
def test_other_names_are_refused_on_loopback(host):
    assert status({"host": host}) == 403
    assert status({"host": host}, path="/", method="GET") == 403


def test_a_server_for_others_goes_by_addresses_and_the_names_given():
    assert status({"host": "192.168.0.4:8000"}, host="0.0.0.0") == 200
    assert status({"host": "evil.example"}, host="0.0.0.0") == 403
    assert status({"host": "photos.example:8000"}, host="photos.example") == 200
    assert status({"host": "Docker.internal"}, more_hosts=["docker.Internal"]) == 200


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:80", 200),
        ("http://localhost:81", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:80@evil.example", 403),
    ],
)
def test_the_origin_is_the_page(origin, expected):
    assert status({"host": "localhost:80", "origin": origin}) == expected


def test_requests_that_a_browser_marks_as_another_sites():
    assert status({"sec-fetch-site": "cross-site"}, method="GET") == 403
    assert status({"sec-fetch-site": "same-site"}, method="GET") == 403
    assert status({"sec-fetch-site": "same-origin"}, method="GET") == 200
    assert status({"sec-fetch-site": "cross-site"}, path="/", method="GET") == 200  # a link to the page


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Basic YW5uOnNlY3JldDp3b3Jk", 200),  # ann:secret:word
        ("basic YW5uOnNlY3JldDp3b3Jk", 200),
        ("Basic YW5uOm90aGVy", 401),  # ann:other
        ("Bearer YW5uOnNlY3JldDp3b3Jk", 401),
        ("Basic ####", 401),
        ("Basic \u00e4", 401),
        ("", 401),
    ],
)
def test_a_password_where_there_is_one(authorization, expected):
    headers = {"authorization": authorization.encode("latin-1")}
    assert status(headers, credentials=Credentials("ann", "secret:word")) == expected
    client = TestClient(Guard(INNER, credentials=Credentials("ann", "secret:word")), base_url="http://localhost")
    assert client.get("/").headers["www-authenticate"].startswith("Basic ")


def test_headers_of_every_answer():
    client = TestClient(Guard(INNER), base_url="http://localhost")
    for answer in (client.get("/"), client.get("/nothing"), client.get("/", headers={"host": "evil.example"})):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
