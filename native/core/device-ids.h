// Internal: our ids for ggml's devices.
#pragma once

#include <string>
#include <vector>

#include "ggml-backend.h"

namespace llamaestro {

// Devices with memory of their own, in ggml's order.
std::vector<ggml_backend_dev_t> gpuDevices();

// cuda0, metal0, ...; "cpu" for everything that lives in host memory.
std::string deviceId(ggml_backend_dev_t device);

}  // namespace llamaestro
