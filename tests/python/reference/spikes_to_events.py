"""Events of dense spikes, one entry at a time."""


def spikes_to_events(spikes):
    """(list of (time, batch, neuron), number of entries that are no count)."""
    events, invalid = [], 0
    for t, step in enumerate(spikes.tolist()):
        for b, row in enumerate(step):
            for n, spike in enumerate(row):
                if not (0 <= spike <= 2**24 and float(spike).is_integer()):
                    invalid += 1
                    continue
                events += [(t, b, n)] * int(spike)
    return events, invalid
