"""Colours and textures of windows, shared between windows that overlap: no network needed.

A window is seen as four regions, a box in its middle and the three rings round it::

    + - - - - - - - +      sides of 1/4, 1/2, 3/4 and all of the window's; with two lesion
    |   + - - - +   |      diameters to a window, the lesion ends where the second region does
    |   | +---+ |   |
    |   | |   | |   |
    |   | +---+ |   |
    |   + - - - +   |
    + - - - - - - - +

What is known of a region are sums over its pixels of small whole numbers: colours and their
products, differences between neighbours, how many neighbours are lighter or darker. A sum over a
box is four look-ups in a summed-area table, so one table of a level serves all of its windows; and
as the sums are whole numbers below 2**53, they are the same to the last bit wherever a window lies.
All that follows is arithmetic on single numbers, rounded alike everywhere. Turned by a right angle
or mirrored, a window keeps its features, to the last bit too.

References
----------
F. Crow: Summed-area tables for texture mapping, SIGGRAPH 1984 (the sums).
J. Chen et al.: WLD, a robust local image descriptor, IEEE TPAMI 32:1705, 2010 (differences
relative to the centre). X. Tan, B. Triggs: Enhanced local texture feature sets, IEEE TIP 19:1635,
2010 (ternary codes). J. Bigun, G. H. Granlund: Optimal orientation detection of linear symmetry,
ICCV 1987 (the structure tensor).
"""

from slidewin.features.estimators import WindowFeatures, patch_classifier

__all__ = ["WindowFeatures", "patch_classifier"]
