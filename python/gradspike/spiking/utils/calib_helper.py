"""Calibrations by name: gradspike reads none, it hands the path to the backend."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Union


@dataclass(frozen=True)
class FixtureCalibration:
    """A calibration in a file, for `experiment.calibration`. The emulator is calibrated to the model and needs none.

    Attributes:
        path: The file, on the machine of the backend.
    """

    path: str

    def __fspath__(self) -> str:
        return self.path


def fixture_calibration_from_file(path: Union[str, "os.PathLike[str]"]) -> FixtureCalibration:
    """The calibration in a file.

    Example:
        >>> fixture_calibration_from_file("spiking_cocolist.pbin")
        FixtureCalibration(path='spiking_cocolist.pbin')
    """
    return FixtureCalibration(os.fspath(path))


def nightly_calib_path(name: str = "spiking") -> Path:
    """Name of the file of a chip's latest calibration; the backend knows the folder of its chip."""
    return Path(f"{name}_cocolist.pbin")


def nightly_calix_native_path(name: str = "spiking") -> Path:
    """As `nightly_calib_path`, in calix' own format."""
    return Path(f"{name}_calix-native.pkl")
