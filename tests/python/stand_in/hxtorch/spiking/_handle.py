"""Handles: promises of tensors that run() keeps."""


class Handle:
    """Empty until run()."""

    fields = ()

    def __init__(self, **values):
        unknown = set(values) - set(self.fields)
        assert not unknown, f"{type(self).__name__} has no field {sorted(unknown)}"
        for field in self.fields:
            setattr(self, field, values.get(field))

    def holds(self, name):
        return getattr(self, name, None) is not None

    def clone(self, other):
        """Takes the fields of another handle."""
        assert isinstance(other, Handle) and other.fields == self.fields, (
            f"{type(self).__name__} cannot take the fields of {type(other).__name__}"
        )
        for field in self.fields:
            setattr(self, field, getattr(other, field))


class LIFObservables(Handle):
    fields = ("current", "membrane_cadc", "membrane_madc", "spikes")


class LIObservables(Handle):
    fields = ("current", "membrane_cadc", "membrane_madc")


class SynapseHandle(Handle):
    fields = ("graded_spikes",)


class AnalogObservable:
    def __init__(self, cadc=None, madc=None):
        self.cadc, self.madc = cadc, madc


class MeasuredHandle(Handle):
    """What post_process of a population gives."""

    fields = ("adaptation", "spikes", "voltage")
