"""Photos with known truth: a hand on printed cloth, a melanoma on the hand.

``lay_real_lesion`` and ``lay_real_hand`` lay real ones from photos; nothing else is pasted from
photos, all is noise, geometry and light:

- smooth fields from a coarse grid of random numbers (Perlin, "An image synthesizer", SIGGRAPH
  1985), their sums for clouds and mottling, their zero crossings for creases and networks;
- the hand as rounded cones about its bones, their outlines joined by Quilez's polynomial smooth
  minimum, their heights by a power mean (Ricci, "A constructive geometry for computer graphics",
  The Computer Journal 1973), with about the lengths and widths of an adult's;
- light by Lambert's law, warmer in the shade because red light travels further in skin, and
  shadows of several softnesses;
- skin colour as light that melanin and blood absorb, each with a field of its own (after
  Tsumura et al., JOSA A 1999, doi:10.1364/JOSAA.16.002169);
- melanomas after the clinic's ABCD rule: asymmetry, border, colours, diameter (Friedman et al.,
  CA 1985, doi:10.3322/canjclin.35.3.130).
"""

from slidewin.scene.board import draw_paper, draw_wood
from slidewin.scene.cloth import PATTERNS, draw_cloth
from slidewin.scene.laid import find_skin, lay_real_hand, lay_real_lesion
from slidewin.scene.lesion import draw_lesion
from slidewin.scene.photo import Scene, draw_scene
from slidewin.scene.skin import draw_skin

__all__ = [
    "PATTERNS",
    "Scene",
    "draw_cloth",
    "draw_lesion",
    "draw_paper",
    "draw_scene",
    "draw_skin",
    "draw_wood",
    "find_skin",
    "lay_real_hand",
    "lay_real_lesion",
]
