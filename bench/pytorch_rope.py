"""Rotary positions for the PyTorch sides of the benchmarks."""

import torch


def rope_tables(positions, head_dim, theta):
    """cos and sin, [T, 1, D]: the halves are doubled and the first half of sin negated, as rotate() needs."""
    frequency = theta ** (-torch.arange(0, head_dim, 2) / head_dim)
    angle = positions[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None]


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], -1)
    return torch.addcmul(x * cos, swapped, sin)
