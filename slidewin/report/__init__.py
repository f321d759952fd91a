"""What people see: regions on the photo, heat maps, masks, and figures that put them side by side.

Nothing is computed about lesions here, and a picture claims no more than the numbers do: heat maps
have an absolute scale, and what was not assessed is hatched, or in a mask has a grey of its own.

Pictures are ``(H, W, 3)`` uint8, RGB, but for masks, ``(H, W)``, and of the photo's own size:
nothing is scaled but the panels of a figure. Lines, hatching and text grow with the photo's short
side, so that a picture looks the same whether the photo has 300 or 4000 pixels. Maps too large for
pictures are written as numbers, with coarser levels for viewers to show.
"""

from slidewin.report.figure import Panel, draw_panels
from slidewin.report.large import write_heatmap
from slidewin.report.maps import draw_heatmap, draw_mask
from slidewin.report.overlay import draw_regions

__all__ = ["Panel", "draw_heatmap", "draw_mask", "draw_panels", "draw_regions", "write_heatmap"]
