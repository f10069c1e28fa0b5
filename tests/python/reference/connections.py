"""The connection list: post outer, pre inner, zeros included."""


def connections(integers):
    """List of (pre, post, weight) of an integer array [post, pre]."""
    posts, pres = integers.shape
    return [(pre, post, int(integers[post, pre])) for post in range(posts) for pre in range(pres)]
