"""The default network, made to be swept.

No padding anywhere, so a window's output depends on the window's pixels alone; every layer is
local; and the receptive field is exactly one window: 64 px, not 59 and a rim that nothing sees.
The head stays a convolution as large as a window's feature map. Global average pooling after it
changes nothing for one window (the map is 1 x 1) and lets a whole photo through as well.
"""

from torch import nn

from slidewin.errors import ArgumentError

__all__ = ["window_network"]

# (kernel, stride, share of `width`) of each convolution. Kernels of 4 stand where a stride of 2
# would otherwise leave a row and a column of its input unread.
_BODY = ((4, 2, 1), (3, 1, 1), (3, 2, 2), (3, 1, 2), (4, 2, 4), (3, 1, 4))
_HEAD_KERNEL = 3


def window_network(n_classes: int, *, width: int = 32, dropout: float = 0.2) -> nn.Sequential:
    """Build an untrained network for windows of 64 x 64 pixels.

    Six convolutions with a total stride of 8 and a convolutional head. At ``width=32`` it has
    0.35 million parameters and takes 23 million multiplications a window.

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.
    width : int
        Channels of the first layer; later ones have two and four times as many.
    dropout : float
        Share of feature channels dropped before the head while training.

    Returns
    -------
    torch.nn.Sequential
        Maps ``(n, 3, 64, 64)`` to logits ``(n, n_classes)``. A larger input gives the mean of
        its windows' logits at stride 8.

    Examples
    --------
    >>> import torch
    >>> network = window_network(3).eval()
    >>> network(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 3])
    >>> network[:-2](torch.zeros(1, 3, 64, 72)).shape  # all but the pooling and flattening
    torch.Size([1, 3, 1, 2])
    """
    if n_classes < 2 or width < 1:
        raise ArgumentError(
            f"n_classes={n_classes}, width={width}: at least 2 classes are needed, background "
            "among them, and 1 channel"
        )
    layers: list[nn.Module] = []
    channels = 3
    for kernel, stride, share in _BODY:
        layers += [
            nn.Conv2d(channels, width * share, kernel, stride, bias=False),
            nn.BatchNorm2d(width * share),
            nn.ReLU(),
        ]
        channels = width * share
    layers += [
        nn.Dropout2d(dropout),
        nn.Conv2d(channels, n_classes, _HEAD_KERNEL),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers)
