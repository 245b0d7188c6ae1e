// Internal: numbers as JavaScript has them, checked.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "error.h"
#include "options.h"

namespace llamaestro {

inline std::string plainNumber(double value) {
  char text[40];
  snprintf(text, sizeof(text), "%.15g", value);
  return text;
}

// A whole number in [low, high], or nothing when absent. Throws Failure invalid_request naming the field.
template <typename T = uint32_t>
std::optional<T> wholeNumber(const Number& value, const char* field, double low, double high) {
  if (!value) return std::nullopt;
  if (!(*value >= low && *value <= high) || *value != std::floor(*value)) {
    throw Failure(codes::kInvalidRequest,
                  std::string(field) + " must be a whole number from " + plainNumber(low) + " to " + plainNumber(high),
                  field);
  }
  return static_cast<T>(*value);
}

// A number in [low, high] ((low, high] when `openLow`), or `otherwise` when absent.
inline double rangedNumber(const Number& value, const char* field, double low, double high, double otherwise,
                           bool openLow = false) {
  if (!value) return otherwise;
  if (!(*value >= low && *value <= high) || (openLow && *value == low)) {
    throw Failure(codes::kInvalidRequest,
                  std::string(field) + " must be a number " + (openLow ? "above " : "from ") + plainNumber(low) +
                      (openLow ? " up to " : " to ") + plainNumber(high),
                  field);
  }
  return *value;
}

}  // namespace llamaestro
