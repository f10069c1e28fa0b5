// Devices that a deployed model's operators run on, by the name of a target.
#pragma once

#include <string>

#include <c10/core/Device.h>

namespace gradspike::ops {

/// The device of a target such as "cpu", "cuda" or "cuda:1". Loads libgradspike_cuda.so from beside this library where
/// its kernels are needed and absent. Throws with one sentence where this machine lacks the device.
c10::Device device_of_target(const std::string& target);

}  // namespace gradspike::ops
