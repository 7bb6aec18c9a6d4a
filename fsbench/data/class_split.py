"""Divide the classes of your own data set at random into base, val and novel."""

from collections.abc import Sequence

from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream
from fsbench.data.listing import SPLITS, Listing

_SEED = 0


def parse_shares(text: str) -> tuple[int, ...]:
    """Read the percentages of base, val and novel classes, such as "60/20/20".

    Raises:
        FsbenchError: The text is not three whole numbers, or the shares of base and novel are not above 0.

    Example:
        >>> parse_shares("60/20/20")
        (60, 20, 20)
    """
    numbers = text.split("/")
    if len(numbers) != len(SPLITS) or not all(number.isdecimal() for number in numbers):
        raise FsbenchError(
            f"--split must be shares of base/val/novel classes, such as 60/20/20, but is {text!r}"
        )
    base, val, novel = map(int, numbers)
    if not base or not novel:
        raise FsbenchError(f"--split must give base and novel classes a share above 0, but is {text!r}")
    return base, val, novel


def split_classes(listing: Listing, shares: Sequence[int]) -> Listing:
    """Divide novel classes into base, val and novel; the names of the classes alone determine the split.

    Args:
        listing: Images of novel classes.
        shares: Shares of base, val and novel classes in percent.

    Returns:
        The same images in up to three splits.

    Raises:
        FsbenchError: The shares do not add up to 100, the listing has splits already, or it has too few
            classes for the shares.
    """
    if sum(shares) != 100:
        text = "/".join(map(str, shares))
        raise FsbenchError(f"--split must add up to 100, but {text} adds up to {sum(shares)}")
    if set(listing) != {"novel"}:
        raise FsbenchError(f"--split: PATH is already divided into {', '.join(listing)}; leave out --split")
    names = sorted(listing["novel"])
    order = [names[place] for place in stream(_SEED, "class split").permutation(len(names))]
    ends = [round(len(names) * sum(shares[:count]) / 100) for count in range(1, len(SPLITS) + 1)]
    starts = [0, *ends[:-1]]
    parts = {split: order[start:end] for split, start, end in zip(SPLITS, starts, ends, strict=True)}
    for split, share in zip(SPLITS, shares, strict=True):
        if share and not parts[split]:
            count = f"{len(names)} class{' is' if len(names) == 1 else 'es are'}"
            raise FsbenchError(f"--split: {count} too few for a {split} share of {share} %")
    return {
        split: {name: listing["novel"][name] for name in sorted(part)}
        for split, part in parts.items()
        if part
    }
