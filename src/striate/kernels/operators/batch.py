"""A batch of normalised floats from stored bytes, moved and mirrored, in one pass."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import DataError, ShapeError
from striate.kernels import library
from striate.kernels.operators.native import POINTER, SIZE, call, new_images

_GATHER = (*[POINTER] * 6, *[SIZE] * 7)
_LEVELS = 256
_LARGEST = 2**31 - 1


def augmented_batch(
    images: np.ndarray,
    index: np.ndarray,
    rows: Int[Tensor, "B H_out"],
    columns: Int[Tensor, "B W_out"],
    table: Float[Tensor, "C levels"],
) -> Float[Tensor, "B C H_out W_out"]:
    """Float images made of whole pixels of stored ones, channels last in memory.

    Pixel (h, w) of image b is pixel (rows[b, h], columns[b, w]) of stored image index[b]; mirrors,
    moves by whole pixels with any treatment of the border, and crops are such lists, and so is any
    sequence of them. Each byte v of channel c becomes table[c, v]: with a table made by the same
    operations, the result has the same bits as the operations on the images.

    Args:
        images: Stored images (N, H, W, C) uint8 in one piece, perhaps a memory map.
        index: Items of the batch (B,).
        rows: Rows to take of each image of the batch.
        columns: Columns to take of each image of the batch.
        table: Value of each of the 256 levels in each channel.

    Raises:
        DataError: an item, a row or a column that does not exist.
        ShapeError: arrays that do not belong together.

    Example:
        >>> stored = np.arange(12, dtype=np.uint8).reshape(1, 2, 3, 2)
        >>> mirrored = torch.tensor([[2, 1, 0]])
        >>> table = torch.arange(256.0).expand(2, 256)
        >>> y = augmented_batch(stored, np.array([0]), torch.tensor([[0, 1]]), mirrored, table)
        >>> y[0, 0].tolist()
        [[4.0, 2.0, 0.0], [10.0, 8.0, 6.0]]
    """
    (num, H, W, C), B = images.shape, len(index)
    shape = (B, C, rows.shape[1], columns.shape[1])
    index = np.ascontiguousarray(index, dtype=np.int64)
    _check(images, index, rows, columns, table)
    if not library.available() or not images.flags.c_contiguous:
        return _by_torch(images, index, rows, columns, table)
    y = new_images(shape)
    # What is out of range stays so in fewer bits.
    rows, columns = (
        lines.clamp(-1, _LARGEST).to("cpu", torch.int32).contiguous() for lines in (rows, columns)
    )
    table = table.to("cpu", torch.float32).contiguous()
    tensors = [t.data_ptr() for t in (rows, columns, table, y)]
    pointers = (images.ctypes.data, index.ctypes.data, *tensors)
    try:
        call("batch_gather", _GATHER, *pointers, num, H, W, C, B, *shape[2:])
    except RuntimeError as error:
        raise DataError(_MISSING) from error
    return y


def _check(
    images: np.ndarray, index: np.ndarray, rows: Tensor, columns: Tensor, table: Tensor
) -> None:
    fits = (
        images.dtype == np.uint8
        and index.ndim == 1
        and rows.shape[:1] == columns.shape[:1] == (len(index),)
        and table.shape == (images.shape[3], _LEVELS)
    )
    if not fits:
        raise ShapeError(
            f"Images of uint8 (N, H, W, C), an index (B,), rows and columns (B, ...) and a table "
            f"(C, {_LEVELS}) are expected; {images.dtype} {images.shape}, {index.shape}, "
            f"{tuple(rows.shape)}, {tuple(columns.shape)} and {tuple(table.shape)} came."
        )


_MISSING = "A batch asks for an item, a row or a column that the stored images do not have."


def _by_torch(
    images: np.ndarray, index: np.ndarray, rows: Tensor, columns: Tensor, table: Tensor
) -> Tensor:
    num, H, W, C = images.shape
    for positions, size in ((torch.from_numpy(index), num), (rows, H), (columns, W)):
        if positions.numel() and not 0 <= int(positions.min()) <= int(positions.max()) < size:
            raise DataError(_MISSING)
    picture = np.arange(len(index))[:, None, None]
    stored = torch.from_numpy(images[index])
    pixels = stored[picture, rows.long()[:, :, None], columns.long()[:, None, :]].long()
    y = table.float()[torch.arange(C), pixels]
    return y.permute(0, 3, 1, 2)
