// Internal: on which devices a model lies, decided before anything is simulated, so that plan and load cannot differ.
// Knows ggml's devices and nothing of files.
#pragma once

#include <string>
#include <vector>

#include "ggml-backend.h"
#include "gguf-check.h"
#include "load-settings.h"

namespace llamaestro {

struct DeviceChoice {
  std::vector<ggml_backend_dev_t> devices;  // with memory of their own, in the order of the split; empty: the CPU alone
  std::vector<float> split;                 // one share for each device; empty where there is none or one

  bool onGpu() const { return !devices.empty(); }
  // cuda, metal, ... of the first device; empty without one.
  std::string kind() const;
};

// Without a wish: all devices, in shares of 1/64 of what is free now. Throws Failure invalid_request (an unknown
// device, shares that do not fit the devices, rows split where the backend cannot).
DeviceChoice chooseDevices(const LoadSettings& settings);

// The buffers of the device that an override names. Throws Failure invalid_request when the model may not use it.
ggml_backend_buffer_type_t overrideBuffer(const TensorOverride& one, const DeviceChoice& choice);

// True when a step computes layers on the CPU: some lie there, or a part of them. The output layer counts as one more.
bool computesOnCpu(const LoadSettings& settings, const GgufSummary& file, uint32_t gpuLayers);

// Throws Failure invalid_request when a device would leave attention over a cache of these types to the CPU.
void refuseCacheWithoutKernel(const LoadSettings& settings, const GgufSummary& file, const DeviceChoice& choice);

}  // namespace llamaestro
