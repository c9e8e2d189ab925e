"""In X-AnyLabeling's environment: load a model as its button "Load custom model" does, and click. See test_desktop.py.

python click_in_x_anylabeling.py MODEL_YAML PHOTO OUTPUT_JSON MARKS
"""

import json
import sys
from pathlib import Path

from anylabeling import config
from anylabeling.services.auto_labeling.model_manager import ModelManager
from PyQt6 import QtCore, QtGui, QtWidgets

MODEL, PHOTO, OUTPUT, MARKS = sys.argv[1:]

config.current_config_file = str(Path(config.get_work_directory()) / ".xanylabelingrc")  # as its main does
app = QtWidgets.QApplication(sys.argv)
manager = ModelManager()
results, said = [], []


def predict(config):
    if not config.get("model"):
        app.exit(3)
        return
    manager.set_auto_labeling_marks(json.loads(MARKS))
    manager.set_mask_fineness(0.0)  # the outline as it is
    manager.predict_shapes(QtGui.QImage(PHOTO), PHOTO)
    app.quit()


manager.model_loaded.connect(predict)
manager.new_model_status.connect(said.append)
manager.new_auto_labeling_result.connect(results.append)
QtCore.QTimer.singleShot(0, lambda: manager.load_custom_model(MODEL))
QtCore.QTimer.singleShot(900_000, lambda: app.exit(4))  # two minutes are not enough for it on a busy machine
code = app.exec()
polygons = [[[point.x(), point.y()] for point in shape.points] for result in results for shape in result.shapes]
Path(OUTPUT).write_text(json.dumps({"polygons": polygons, "said": said}))
sys.exit(code)
