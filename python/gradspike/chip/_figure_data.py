"""Numbers behind the figures of a report, of its page and of `gradspike.plot` alike."""

from typing import Any, Dict, List, NamedTuple, Tuple

_MAX_BINS = 128


class Bin(NamedTuple):
    """Weights with the integers `first..last`. Mark: "edge" at a bound, where clipped weights lie; "zero"; "plain"."""

    first: int
    last: int
    weights: int
    mark: str


def bins(projection: Dict[str, Any]) -> List[Bin]:
    """The integers of a projection between its bounds; none where the report holds no histogram."""
    counts = projection["histogram"]
    if counts is None:
        return []
    low, high = projection["min_weight"], projection["max_weight"]
    width = max(1, -(-(high - low + 1) // _MAX_BINS))
    totals = [0] * len(range(low, high + 1, width))
    for offset, count in enumerate(counts["counts"]):
        k = (counts["first"] + offset - low) // width
        if 0 <= k < len(totals):
            totals[k] += count
    result = []
    for k, weights in enumerate(totals):
        first = low + k * width
        last = min(first + width - 1, high)
        mark = "edge" if first == low < 0 or last == high > 0 else ("zero" if first <= 0 <= last else "plain")
        result.append(Bin(first, last, weights, mark))
    return result


def usage(resource: Dict[str, Any]) -> Tuple[float, str]:
    """Used share of a limit, and "over" it, "near" it, or "fits"."""
    share = resource["used"] / resource["limit"] if resource["limit"] > 0 else 0.0
    return share, "over" if share > 1.0 else ("near" if share > 0.9 else "fits")


def is_part(resource: Dict[str, Any]) -> bool:
    """Whether it is one of a single bus or hemisphere, not of a whole chip."""
    return not resource["layer"] and " of " in resource["quantity"] and "OnDLS" in resource["quantity"]


def of_chip(data: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Resources of the whole chip."""
    return [resource for resource in data["resources"] if not resource["layer"] and not is_part(resource)]
