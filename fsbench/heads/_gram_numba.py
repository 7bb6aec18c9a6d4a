"""`_gram.inner_products` compiled for CPUs: only one half of each matrix is computed."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

from fsbench.heads._numba import ZERO, compiled

Floats: TypeAlias = NDArray[Any]  # in single or double precision

ROWS, COLUMNS = 3, 4  # of a block; its 12 sums and 3 features fit into the 16 vector registers of a processor


@compiled
def fill_grams(points: Floats, grams: Floats) -> None:
    """Fill grams (tasks, n, n) with the inner products of points (tasks, n, d)."""
    for task in range(len(points)):
        fill_gram(points[task], grams[task])


@compiled
def fill_gram(points: Floats, gram: Floats) -> None:
    """Fill the first n rows and columns of gram (n or more, n or more) with products of points (n, d)."""
    n = len(points)
    for i in range(0, n, ROWS):
        for j in range(i, n, COLUMNS):
            _fill_block(points, i, j, n - 1, gram)


@compiled
def _fill_block(points: Floats, i: int, j: int, last: int, gram: Floats) -> None:
    """Fill a block, rows from i and columns from j, and its mirror image.

    Where there are fewer points, the last one stands for those that are missing.
    """
    p, q, r = i, min(i + 1, last), min(i + 2, last)
    s, t, u, v = j, min(j + 1, last), min(j + 2, last), min(j + 3, last)
    ps = pt = pu = pv = qs = qt = qu = qv = rs = rt = ru = rv = ZERO
    for k in range(points.shape[1]):
        x, y, z = points[p, k], points[q, k], points[r, k]
        w = points[s, k]  # one column after the other, or the compiler runs out of registers
        ps, qs, rs = ps + w * x, qs + w * y, rs + w * z
        w = points[t, k]
        pt, qt, rt = pt + w * x, qt + w * y, rt + w * z
        w = points[u, k]
        pu, qu, ru = pu + w * x, qu + w * y, ru + w * z
        w = points[v, k]
        pv, qv, rv = pv + w * x, qv + w * y, rv + w * z
    gram[p, s], gram[p, t], gram[p, u], gram[p, v] = ps, pt, pu, pv
    gram[q, s], gram[q, t], gram[q, u], gram[q, v] = qs, qt, qu, qv
    gram[r, s], gram[r, t], gram[r, u], gram[r, v] = rs, rt, ru, rv
    gram[s, p], gram[t, p], gram[u, p], gram[v, p] = ps, pt, pu, pv
    gram[s, q], gram[t, q], gram[u, q], gram[v, q] = qs, qt, qu, qv
    gram[s, r], gram[t, r], gram[u, r], gram[v, r] = rs, rt, ru, rv
