"""Blocks of data in the documentation are what the code takes and gives.

`tests/unit/demo/test_static.py` looks at the manifest of a page without a server.
"""

import base64
import json
import re
import shutil
from pathlib import Path

from starlette.testclient import TestClient
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SAM, SamConfig, SamProcessor
from anymask.checkpoints.model_card import make_model_card
from anymask.demo.app import Demo, make_app
from anymask.demo.pictures import Pictures
from anymask.integrations.label_studio import LabelStudio

REPOSITORY = Path(__file__).parents[2]
PHOTO = REPOSITORY / "examples" / "chelsea.jpg"
FENCES = re.MULTILINE | re.DOTALL


def data_of(page: str, language: str) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, FENCES)


def demo() -> Demo:
    return Demo(SAM(tiny_model(), processor=SamProcessor(tiny_image_processor())), "tiny", Pictures())


def test_the_request_of_the_page_is_answered_in_the_words_of_the_page():
    request, answer, _ = map(json.loads, data_of("demo-api.md", "json"))
    with TestClient(make_app(demo()), base_url="http://127.0.0.1") as client:
        image = client.post("/api/images", content=PHOTO.read_bytes()).json()["id"]
        given = client.post(f"/api/images/{image}/predict", json=request)
    assert given.status_code == 200, given.text
    assert set(given.json()) == set(answer)
    assert [set(mask) for mask in given.json()["masks"]] == [set(answer["masks"][0])] * 3
    assert set(given.json()["masks"][0]["rle"]) == set(answer["masks"][0]["rle"])


def test_the_labelling_interface_of_the_page_is_understood():
    [config] = data_of("annotation-tools.md", "xml")
    made = demo()
    app = make_app(made, more_routes=LabelStudio(made, None, None).routes())
    photo = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
    click = {
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "is_positive": True,
        "value": {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["object"]},
    }
    body = {
        "tasks": [{"id": 1, "data": {"image": photo}}],
        "label_config": config,
        "params": {"context": {"result": [click]}},
    }
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["results"]
    assert {(region["from_name"], region["to_name"]) for region in prediction["result"]} == {("brush", "image")}


def test_the_usage_in_a_model_card_runs(tmp_path, monkeypatch):
    [code] = re.findall(r"^```python\n(.*?)^```$", str(make_model_card(SamConfig(), name="sam-vit-nano")), FENCES)
    shutil.copy(PHOTO.with_name("coffee.jpg"), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert (tmp_path / "overlay.png").is_file()
