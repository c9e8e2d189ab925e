"""What tests of several rooms share."""

import pytest
from tests.made_up_photographs import write_data_folder


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data_folder(folder)
    return folder
