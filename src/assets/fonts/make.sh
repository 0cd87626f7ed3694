#!/bin/sh
# Makes the fonts of statements from Debian's fonts-inter (bookworm, Inter 4.0 beta 7).
# Needs: apt install fonts-inter, pip install fonttools
#
# Kept are Latin, Greek, Cyrillic, punctuation and currency signs; figures are the tabular ones, so that
# amounts stand under each other without a shaper. Names, layout tables and hints are left out.
set -eu
cd "$(dirname "$0")"
for weight in Regular SemiBold; do
    ${PYTHON:-python3} - "/usr/share/fonts/opentype/inter/Inter-$weight.otf" "$(echo "inter-$weight.otf" | tr A-Z a-z)" <<'PY'
import sys
from fontTools import subset
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.ttLib import TTFont

source, target = sys.argv[1:]
font = TTFont(source)
# What the font's own feature "tnum" puts in the place of each glyph.
features = font["GSUB"].table.FeatureList.FeatureRecord
lookups = {i for f in features if f.FeatureTag == "tnum" for i in f.Feature.LookupListIndex}
tabular = {}
for index in lookups:
    for table in font["GSUB"].table.LookupList.Lookup[index].SubTable:
        tabular.update(getattr(table, "ExtSubTable", table).mapping)
for table in font["cmap"].tables:
    for code, glyph in table.cmap.items():
        table.cmap[code] = tabular.get(glyph, glyph) if chr(code) in "0123456789.,+-−" else glyph
# A plain box stands for what the font lacks; its own is striped and heavy.
box = font.getBestCmap()[0x25A1]
outlines = font["CFF "].cff.topDictIndex[0]
pen = T2CharStringPen(font["hmtx"][box][0] - outlines.Private.nominalWidthX, None)
font.getGlyphSet()[box].draw(pen)
outlines.CharStrings[".notdef"].setProgram(pen.getCharString(outlines.Private).program)
font["hmtx"][".notdef"] = font["hmtx"][box]

options = subset.Options(layout_features=[], hinting=False, notdef_outline=True, name_IDs=[0, 1, 2, 6, 13, 14],
                         drop_tables=["GSUB", "GPOS", "GDEF", "DSIG", "STAT"])
ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x259, 0x259), (0x2BB, 0x2BC), (0x2C6, 0x2DD), (0x300, 0x304), (0x306, 0x30C),
          (0x31B, 0x31B), (0x323, 0x323), (0x326, 0x328), (0x370, 0x3FF), (0x400, 0x52F), (0x1E80, 0x1E9E),
          (0x1EA0, 0x1EF9), (0x2010, 0x2027), (0x202F, 0x203A), (0x2044, 0x2044), (0x20A0, 0x20BF), (0x2116, 0x2116),
          (0x2122, 0x2122), (0x2190, 0x2193), (0x2212, 0x2212), (0x2248, 0x2248), (0x2260, 0x2265), (0xFFFD, 0xFFFD)]
subsetter = subset.Subsetter(options)
subsetter.populate(unicodes=[code for low, high in ranges for code in range(low, high + 1)])
subsetter.subset(font)
font.save(target)
PY
done
