// Internal and pure: over how many threads the choice of the next tokens is spread. Knows neither threads nor samplers.
#pragma once

#include <cstdint>
#include <vector>

namespace llamaestro {

// What each thread should have to do at least: waking another costs tens of microseconds where a device computes and
// the cores are idle. Where the cores compute, a helper takes one from them, and on a busy machine it comes late.
inline constexpr double kWorthSharingUs = 200;
inline constexpr double kWorthSharingOnCpuUs = 2000;

// Threads to wake beside the own one, at most `most`. `picksUs`: what each choice is expected to take.
uint32_t samplingHelpers(const std::vector<double>& picksUs, uint32_t most, double worthUs);

}  // namespace llamaestro
