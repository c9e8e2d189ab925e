import pytest
from tests.tiny_sam import tiny_image_processor, tiny_model


@pytest.fixture(scope="session")
def model():
    """One block of each kind, so that a graph takes seconds."""
    return tiny_model().eval()


@pytest.fixture(scope="session")
def preprocessor():
    return tiny_image_processor()


@pytest.fixture(scope="session")
def exported(model, preprocessor, tmp_path_factory):
    """Each layout, written once."""
    from anymask.export.export import export

    folders = {}

    def in_layout(layout, precision="fp32"):
        if (layout, precision) not in folders:
            folder = tmp_path_factory.mktemp("exported") / f"{layout}_{precision}"
            export(model, folder, preprocessor=preprocessor, layout=layout, precision=precision)
            folders[layout, precision] = folder
        return folders[layout, precision]

    return in_layout
