// Operating errors of the core: a code of the closed list (src/base/errors.ts), a sentence of cause, the field that is
// wrong and counts a program can act on. Public functions of this room return Result and never throw; inside the room
// a Failure may be thrown, and is turned into an Error at the border. Knows nothing of JavaScript.
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace llamaestro {

// The codes this room produces, a subset of ERROR_REMEDIES.
namespace codes {
inline constexpr const char* kInvalidRequest = "invalid_request";
inline constexpr const char* kUnsupportedSchema = "unsupported_schema";
inline constexpr const char* kContextLengthExceeded = "context_length_exceeded";
inline constexpr const char* kModelUnusable = "model_unusable";
inline constexpr const char* kDoesNotFit = "does_not_fit";
inline constexpr const char* kOutOfMemory = "out_of_memory";
inline constexpr const char* kLoadFailed = "load_failed";
inline constexpr const char* kCancelled = "cancelled";
inline constexpr const char* kQueueFull = "queue_full";
inline constexpr const char* kInternal = "internal";
}  // namespace codes

// One named number or text of Error::details.
struct Detail {
  std::string name;
  std::variant<double, std::string> value;
};

struct Error {
  std::string code;     // one of `codes`
  std::string message;  // one sentence, UTF-8, no stack trace
  std::string param;    // the field that is wrong, in the spelling of engine.ts; empty when none
  std::vector<Detail> details;
};

// Thrown inside the room only. `guarded` turns it into an Error.
class Failure : public std::exception {
 public:
  explicit Failure(Error error) : error_(std::move(error)) {}
  Failure(const char* code, std::string message, std::string param = {}, std::vector<Detail> details = {})
      : error_{code, std::move(message), std::move(param), std::move(details)} {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

// A value or an Error. `value()` and `error()` may only be called on the side that `ok()` names.
template <typename T>
class Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}
  bool ok() const noexcept { return held_.index() == 0; }
  T& value() & { return std::get<0>(held_); }
  const T& value() const& { return std::get<0>(held_); }
  T&& value() && { return std::get<0>(std::move(held_)); }
  const Error& error() const { return std::get<1>(held_); }

 private:
  std::variant<T, Error> held_;
};

// For functions that give nothing but may fail.
struct Done {};

// The exception being handled as an Error: a Failure as it is, std::bad_alloc as `out_of_memory`, everything else as
// `fallbackCode`. Call it inside a catch block only.
Error currentError(const char* fallbackCode = codes::kInternal);

// Runs `body` and turns whatever it throws into an Error.
template <typename T, typename Body>
Result<T> guarded(Body&& body, const char* fallbackCode = codes::kInternal) {
  try {
    return Result<T>(body());
  } catch (...) {
    return Result<T>(currentError(fallbackCode));
  }
}

}  // namespace llamaestro
