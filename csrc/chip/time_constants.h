// What the coefficients of a network stand for, in units: for reports.
#pragma once

#include <string>

#include "csrc/chip/network.h"

namespace gradspike::chip {

/// JSON {population: {"kind", "size", "tau_mem", "tau_syn", "membrane_capacitance", "leak", and of spiking ones
/// "reset", "threshold", "refractory_time"}}: each the smallest and largest of its neurons, [lowest, highest], null
/// where that is infinite. Times in s, the others in model units.
std::string time_constants_json(const Network& network);

}  // namespace gradspike::chip
