"""The app under uvicorn, on a socket: what the test client cannot show."""

import json
import socket
import threading
import time

import pytest
import uvicorn
from tests.unit.demo.conftest import picture

from anymask.demo.app import make_app
from anymask.demo.server import open_socket


@pytest.fixture
def port(demo, page):
    with open_socket("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(demo, page=page), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, path: str, body: bytes = b"", method: str = "POST") -> socket.socket:
    """A connection on which a request was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", f"Content-Length: {len(body)}", "Connection: close"]
    connection.sendall("\r\n".join([*head, "\r\n"]).encode() + body)
    return connection


def answer(connection: socket.socket) -> tuple[int, bytes]:
    with connection, connection.makefile("rb") as file:
        head, _, body = file.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def until(is_so) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def upload(port: int) -> str:
    status, body = answer(ask(port, "/api/images", picture()))
    assert status == 200
    return json.loads(body)["id"]


def held(demo):
    """Hold the worker until the event is set."""
    goes_on, runs = threading.Event(), threading.Event()
    demo.worker.submit(lambda: (runs.set(), goes_on.wait()))
    assert runs.wait(10)
    return goes_on


def test_a_request_whose_client_went_away_is_not_run(demo, port, monkeypatch):
    image = upload(port)
    asked = []
    of_model = demo.segmenter.predict
    monkeypatch.setattr(demo.segmenter, "predict", lambda *args: asked.append(args[2]) or of_model(*args))
    goes_on = held(demo)
    gone = ask(port, f"/api/images/{image}/predict", b'{"points": [[1, 2]]}')
    until(lambda: demo.worker.waiting == 1)
    gone.close()
    until(lambda: demo.worker.waiting == 0)
    goes_on.set()
    assert answer(ask(port, f"/api/images/{image}/predict", b'{"points": [[30, 40]]}'))[0] == 200
    assert [question.prompt.points_xy for question in asked] == [((30.0, 40.0),)]


def test_everything_stops_when_the_client_goes_away(demo, port, monkeypatch):
    image = upload(port)
    monkeypatch.setitem(demo.segmenter.model.config.mask_generation, "points_per_batch", 1)
    batches = []
    monkeypatch.setattr(demo.worker, "give_way", lambda: batches.append(time.sleep(0.1)))
    connection = ask(port, f"/api/images/{image}/everything")
    with connection, connection.makefile("rb") as file:
        while b'"done": 1,' not in file.readline():
            pass
    connection.close()
    assert answer(ask(port, f"/api/images/{image}/predict", b'{"points": [[30, 40]]}'))[0] == 200
    assert len(batches) < 49


def test_two_tabs_do_not_take_each_others_place_and_one_tab_its_own(demo, port):
    image = upload(port)
    goes_on = held(demo)
    statuses: dict[int, int] = {}

    def predict(number: int, client: str) -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"X-Client": client}
        connection.request("POST", f"/api/images/{image}/predict", json.dumps({"points": [[number, 2]]}), headers)
        statuses[number] = connection.getresponse().status
        connection.close()

    threads = []
    for number, client in enumerate(("one", "two", "one")):
        threads.append(threading.Thread(target=predict, args=(number, client)))
        threads[-1].start()
        if number < 2:
            until(lambda count=number + 1: demo.worker.waiting == count)
        else:
            threads[0].join()
    goes_on.set()
    for thread in threads:
        thread.join()
    assert statuses == {0: 409, 1: 200, 2: 200}


def test_a_body_that_is_too_large_is_not_read(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(
        f"POST /api/images HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 9999999999\r\n\r\n".encode()
    )
    with connection, connection.makefile("rb") as file:
        assert b" 413 " in file.readline()


def test_what_is_no_http_is_refused_and_the_server_goes_on(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(b"\0\1\2\r\n\r\n")
    with connection, connection.makefile("rb") as file:
        assert b" 400 " in file.readline()
    assert answer(ask(port, "/api/info", method="GET"))[0] == 200


def test_a_port_that_is_taken():
    with (
        open_socket("127.0.0.1", 0) as taken,
        pytest.raises(OSError, match="--port"),
    ):
        open_socket("127.0.0.1", taken.getsockname()[1])
