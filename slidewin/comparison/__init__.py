"""The comparison: many localisers over many photos, to one table.

Every method is a localiser and gives a heat map; what comes after does not know whose it is.

============  ====================================================================================
`dataset`     photos and what is true of them
`methods`     every localiser by name, and how it is made
`baselines`   localisers that know no classifier
`run`         methods by photos, each method in a process of its own, resumed
`variants`    raw maps as they are, stretched, on one scale, gated
`score`       what each map is worth, all on the same pixels
`rows`        figures, intervals, the sweep beside each
`table`       the table, as text, CSV, Markdown and JSON
`entry`       what is asked, and refused at once where it is of no use
`contest`     all of it, in one call
============  ====================================================================================
"""

from slidewin.comparison.contest import compare
from slidewin.comparison.dataset import open_dataset
from slidewin.comparison.sample import Sample
from slidewin.comparison.table import Comparison, Row

__all__ = ["Comparison", "Row", "Sample", "compare", "open_dataset"]
