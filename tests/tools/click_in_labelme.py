"""In labelme's environment: start labelme as a user does, click once in its window, save. Run by test_labelme.py.

python click_in_labelme.py MODEL_FOLDER PHOTO OUTPUT_FOLDER X Y
"""

import sys
import traceback

from PyQt5 import QtCore, QtTest, QtWidgets

from anymask.integrations.labelme import main

MODEL, PHOTO, OUTPUT, X, Y = sys.argv[1:]
CONFIG = "{ai: {default: Sam (accuracy)}, auto_save: true}"


def find(kind, text):
    """The widget or action that shows this text."""
    [window] = [
        widget for widget in QtWidgets.QApplication.topLevelWidgets() if isinstance(widget, QtWidgets.QMainWindow)
    ]
    return next(found for found in window.findChildren(kind) if text in found.text())


def click():
    find(QtWidgets.QAction, "AI-Points").trigger()
    [window] = [
        widget for widget in QtWidgets.QApplication.topLevelWidgets() if isinstance(widget, QtWidgets.QMainWindow)
    ]
    formats = next(box for box in window.findChildren(QtWidgets.QComboBox) if box.findText("Mask") >= 0)
    formats.setCurrentText("Mask")
    canvas = next(widget for widget in window.findChildren(QtWidgets.QWidget) if type(widget).__name__ == "Canvas")
    # labelme's own way from the window to the photo, turned round.
    start, one_on = (canvas._transform_point_widget_to_image(QtCore.QPointF(at, at)) for at in (0, 1))
    place = QtCore.QPoint(
        round((float(X) - start.x()) / (one_on.x() - start.x())),
        round((float(Y) - start.y()) / (one_on.y() - start.y())),
    )
    QtTest.QTest.mouseMove(canvas, place)
    QtCore.QTimer.singleShot(500, name_it)
    QtTest.QTest.mouseClick(canvas, QtCore.Qt.LeftButton, QtCore.Qt.ControlModifier, place)
    window.close()


def name_it():
    dialog = QtWidgets.QApplication.activeModalWidget()
    if dialog is None:
        QtCore.QTimer.singleShot(200, name_it)
        return
    edit = dialog.findChild(QtWidgets.QLineEdit)
    edit.setText("cat")
    QtTest.QTest.keyClick(edit, QtCore.Qt.Key_Return)


def guarded():
    try:
        click()
    except BaseException:
        traceback.print_exc()
        QtWidgets.QApplication.exit(3)


def when_open():
    QtCore.QTimer.singleShot(1500, guarded)


QtCore.QTimer.singleShot(0, when_open)  # before the application there is no loop
sys.argv = ["labelme", MODEL, PHOTO, "--output", OUTPUT, "--config", CONFIG]
main()
