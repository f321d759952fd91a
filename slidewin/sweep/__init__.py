"""The sweep: a classifier of close-ups run over every window of a grid.

``H[m, n] = F(B[m, n])``: B is the window at row m and column n of a level's lattice, F the
classifier. There is one answer and two ways to it: window by window, which works for every
classifier, or shared, where windows that overlap share their work, if the classifier permits it
exactly; a sample of windows is classified both ways on every run. Where windows go one by one, the
sweep may go coarse to fine, which is quicker and leaves out what is unlikely.
"""

from slidewin.sweep.sliding import SlidingWindow

__all__ = ["SlidingWindow"]
