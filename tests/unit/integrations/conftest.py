import sys

import pytest
from starlette.testclient import TestClient
from tests.unit.demo.conftest import LIMITS, sam  # noqa: F401

from anymask.demo.app import Demo, make_app
from anymask.demo.pictures import Pictures

collect_ignore = [] if sys.version_info >= (3, 11) else ["test_cvat.py"]  # CVAT's SDK needs 3.11


@pytest.fixture
def serve(sam, tmp_path):  # noqa: F811
    """A client of an app with the routes of a contract."""
    opened = []

    def start(contract) -> TestClient:
        demo = Demo(sam, "tiny", Pictures([], LIMITS))
        app = make_app(demo, page=tmp_path, more_routes=contract(demo).routes())
        client = TestClient(app, base_url="http://localhost:9090")
        opened.append(client)
        return client.__enter__()

    yield start
    for client in opened:
        client.__exit__(None, None, None)
