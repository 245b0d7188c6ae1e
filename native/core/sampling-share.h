// Internal and pure: over how many threads the choice of the next tokens is spread. Knows neither threads nor samplers.
#pragma once

#include <cstdint>
#include <vector>

namespace llamaestro {

// What one thread should have to do at least, itself included: waking another costs tens of microseconds.
inline constexpr double kWorthSharingUs = 200;

// Threads to wake beside the own one, at most `most`. `picksUs`: what each choice is expected to take.
uint32_t samplingHelpers(const std::vector<double>& picksUs, uint32_t most);

}  // namespace llamaestro
