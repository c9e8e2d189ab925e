from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageFont

from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle
from anymask.results.fonts import PACKAGED, find_font, load_font, missing_letters
from anymask.results.results import Results

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # DejaVu Sans, with more scripts, and fonts with fewer


def test_the_packaged_font_has_the_european_alphabets():
    assert missing_letters(str(PACKAGED), "Straße, façade, łódź, ağaç, déjà vu; кружка, ґанок; φλιτζάνι; 0-9") == ""
    assert missing_letters(str(PACKAGED), "cup 杯子\n") == "杯子"
    assert (PACKAGED.parent / "LICENSE").is_file()


def test_letters_are_drawn_differently():
    font = load_font("ßüłж", 20)
    drawn = {bytes(font.getmask(letter)) for letter in "ßüłжΩ"}
    assert len(drawn) == 5


def test_a_font_that_has_the_letters_is_found():
    armenian = frozenset("Հայ")
    assert set(missing_letters(str(PACKAGED), "Հայ")) == armenian
    found = find_font(armenian, [FOLDER])
    assert found is not None
    assert missing_letters(found, "Հայ") == ""
    assert find_font(frozenset("Հ杯"), [FOLDER]) is None


def test_damaged_fonts_are_passed_over(tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"no font")
    assert find_font(frozenset("Հ"), [tmp_path, tmp_path / "missing"]) is None
    (tmp_path / "b.ttf").write_bytes((FOLDER / "DejaVuSans.ttf").read_bytes())
    assert find_font(frozenset("Հ"), [tmp_path]) == str(tmp_path / "b.ttf")


def test_letters_that_no_font_has_are_said():
    text = "a杯Հ𓀀"  # of scripts that no one font has together
    with pytest.warns(UserWarning, match="No font here has the letters '杯Հ𓀀' of the label 'a杯Հ𓀀'; pass `font="):
        assert load_font(text, 13).size == 13


def test_fonts_of_the_caller(tmp_path):
    path = FOLDER / "DejaVuSerif.ttf"
    assert load_font("cup", 21, path).getname()[0] == "DejaVu Serif"
    mine = ImageFont.truetype(str(path), 9)
    assert (load_font("cup", 21, mine).size, load_font("cup", 21, mine).getname()[0]) == (21, "DejaVu Serif")
    for wrong in (tmp_path / "missing.ttf", Path(__file__)):
        with pytest.raises(OSError, match="`font` must be a TrueType or OpenType file"):
            load_font("cup", 21, wrong)
    assert np.asarray(load_font("cup", 30).getmask("cup")).size > 0


def make_font(path, letters):
    """A font file whose letters are bars, each of a width of its own; no packaged font has these scripts."""
    names = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): f"uni{ord(letter):04X}" for letter in letters})
    glyphs = {}
    for index, name in enumerate(names):
        pen = TTGlyphPen(None)
        for x, y in ((0, 0), (0, 700), (300 + 100 * index, 700), (300 + 100 * index, 0)):
            (pen.lineTo if (x, y) != (0, 0) else pen.moveTo)((x, y))
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Bars", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)


@pytest.mark.parametrize("label", ["杯子", "カップ", "컵"])
def test_labels_of_east_asia_are_drawn_with_a_font_that_has_them(tmp_path, label):
    make_font(tmp_path / "bars.ttf", sorted(set(label)))
    assert missing_letters(str(PACKAGED), label) == label
    assert find_font(frozenset(label), [FOLDER, tmp_path]) == str(tmp_path / "bars.ttf")
    photo = Image.new("RGB", (160, 120), "white")
    record = make_record(mask_to_rle(np.ones((120, 160), bool)), predicted_iou=0.9)
    record["label"] = label
    picture = Results([record], (120, 160), image=photo).plot(labels=True, font=tmp_path / "bars.ttf")
    other = Results([{**record, "label": label[::-1] + label[0]}], (120, 160), image=photo)
    assert picture != other.plot(labels=True, font=tmp_path / "bars.ttf")
