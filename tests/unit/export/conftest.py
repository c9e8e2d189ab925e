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

    def in_layout(layout, precision="fp32", file_format="onnx", samples=None):
        key = (layout, precision, file_format)
        if key not in folders:
            folder = tmp_path_factory.mktemp("exported") / "_".join(key)
            options = dict(layout=layout, precision=precision, file_format=file_format, samples=samples)
            export(model, folder, preprocessor=preprocessor, **options)
            folders[key] = folder
        return folders[key]

    return in_layout


@pytest.fixture(scope="session")
def runtimes(exported):
    """The model in each runtime, from the same graphs."""
    import onnx

    from anymask.export.onnx_files import save_as_openvino
    from anymask.export.runtime import OnnxSamModel, OpenVinoSamModel

    folder = exported("anymask")
    for name in ("encoder", "mask_decoder"):
        save_as_openvino(onnx.load(folder / f"{name}.onnx"), folder / f"{name}.xml")
    return {"onnx": OnnxSamModel.from_pretrained(folder), "openvino": OpenVinoSamModel.from_pretrained(folder)}
