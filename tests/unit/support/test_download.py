import contextlib
import socket
import threading
import time

import pytest

from anymask.images.load import load_image
from anymask.support.download import download


def answer(*parts: bytes, pause: float = 0.0, repeat: int = 1):
    """What a server sends, part by part."""

    def send(connection: socket.socket) -> None:
        for _ in range(repeat):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)

    return send


OK = b"HTTP/1.0 200 OK\r\n"


class Server:
    """Answers every connection by its path, with bytes as they are."""

    def __init__(self, answers) -> None:
        self.answers, self.requests = answers, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536)
                self.requests.append(request.split(b"\r\n")[0].decode("ascii"))
                path = request.split(b" ")[1].decode("ascii")
                with contextlib.suppress(OSError):  # the client gave up, as it should
                    self.answers[path](connection)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def serve():
    servers = []

    def start(answers) -> Server:
        servers.append(Server(answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_whole_body_comes(serve):
    server = serve(
        {
            "/sized": answer(OK + b"Content-Length: 5\r\n\r\n", b"he", b"llo"),
            "/unsized": answer(OK + b"\r\n", b"hello"),
            "/chunked": answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "/redirect": answer(b"HTTP/1.0 302 Found\r\nLocation: /sized\r\n\r\n"),
        }
    )
    for path in server.answers:
        assert download(server.url + path, 10).read() == b"hello"


def test_letters_beyond_ascii_are_sent_as_browsers_send_them(serve):
    server = serve({"/caf%C3%A9%20au%20lait/%41.png?q=%E2%82%AC": answer(OK + b"\r\n", b"hello")})
    assert download(server.url + "/caf\u00e9 au lait/%41.png?q=\u20ac#top", 10).read() == b"hello"
    with pytest.raises(OSError, match="must be reachable, but"):
        download("http://b\u00fccher.invalid/", 10)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"HTTP/1.0 404 Gone\r\n\r\n", "HTTP Error 404"),
        (b"no http at all\r\n\r\n", "no http at all"),  # BadStatusLine
        (b"", "Remote end closed connection"),
        (OK + b"Content-Length: 9\r\n\r\nhello", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "IncompleteRead"),
        (OK + b"X: " + b"y" * 70000 + b"\r\n\r\n", "more than 65536 bytes"),  # LineTooLong
        (OK + b"X: y\r\n" * 200 + b"\r\n", "got more than 100 headers"),
        (b"HTTP/1.0 302 Found\r\nLocation: ftp://127.0.0.1/image.png\r\n\r\n", "unknown url type: ftp"),
        (b"HTTP/1.0 302 Found\r\nLocation: file:///etc/hostname\r\n\r\n", "not allowed"),
        (b"HTTP/1.0 302 Found\r\nLocation: /image.png\r\n\r\n", "infinite loop"),
        (OK + b"Content-Length: 3000\r\n\r\n", "has 3000 bytes, more than 2000"),
        (OK + b"\r\n" + b"y" * 3000, "more than 2000 bytes"),
    ],
)
def test_every_failure_is_one_error(serve, said, message):
    server = serve({"/image.png": answer(said)})
    with pytest.raises(
        OSError, match=rf"(?s)/image.png must be reachable, but: .*{message}.*Check the address\.$"
    ) as raised:
        download(server.url + "/image.png", 10, max_bytes=2000)
    assert type(raised.value) is OSError


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://[::1/", "http:///image.png", "http://127.0.0.1:x/"])
def test_addresses_that_are_none(url):
    with pytest.raises(OSError, match="must be reachable, but"):
        download(url, 10)


def test_a_server_that_drips_is_left_at_the_deadline(serve):
    server = serve(
        {
            "/body": answer(b"x", pause=0.02, repeat=50),
            "/header": answer(*[bytes([byte]) for byte in OK + b"X: yyyyyyyyyyyyyyyyyyyyyyyy"], pause=0.02),
            "/silent": answer(b"", pause=0.5),
        }
    )
    for path in server.answers:
        with pytest.raises(OSError, match=r"more than 0.1 seconds. Check the address, or raise `timeout`"):
            load_image(server.url + path, timeout=0.1)
