"""Layers of a window's network as layers of a whole image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

__all__ = ["Mean", "Normalised", "over_channels", "over_image"]


class Mean(nn.Module):
    """Average pooling whose cells may lie apart."""

    def __init__(self, kernel: int, stride: int, apart: int, divisor: int | None = None) -> None:
        super().__init__()
        self.kernel, self.stride, self.apart = kernel, stride, apart
        self.divisor = kernel**2 if divisor is None else divisor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average (n, c, h, w) over squares of cells."""
        if self.apart == 1:
            return nn.functional.avg_pool2d(
                x, self.kernel, self.stride, divisor_override=self.divisor
            )
        weight = x.new_full((x.shape[1], 1, self.kernel, self.kernel), 1 / self.divisor)
        return nn.functional.conv2d(
            x, weight, stride=self.stride, dilation=self.apart, groups=x.shape[1]
        )


class Normalised(nn.Module):
    """What turns 0 to 255 into a network's input."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (n, 3, h, w) of 0 to 255."""
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (x / 255 - mean) / std


def over_image(layer: nn.Linear, cells: int, apart: int) -> nn.Conv2d:
    """A linear layer on a window's flattened map, as a convolution as large as that map.

    Parameters
    ----------
    layer : torch.nn.Linear
    cells : int
        Cells along a side of a window's map.
    apart : int
        Cells of the image's map from one of a window's to the next.
    """
    conv = nn.Conv2d(
        layer.in_features // cells**2,
        layer.out_features,
        cells,
        dilation=apart,
        bias=layer.bias is not None,
    ).to(layer.weight)
    with torch.no_grad():
        conv.weight.copy_(layer.weight.view_as(conv.weight))
        if conv.bias is not None:
            conv.bias.copy_(layer.bias)
    return conv


def over_channels(layer: Any) -> nn.Module:
    """A batch norm or softmax of features (n, c), as one of maps (n, c, h, w)."""
    if type(layer) is not nn.BatchNorm1d:
        softmax: nn.Module = type(layer)(dim=1)
        return softmax
    norm = nn.BatchNorm2d(layer.num_features, eps=layer.eps, affine=layer.affine)
    norm.load_state_dict(layer.state_dict())
    return norm.to(layer.running_var).eval()
