// One promise whose outcome is a Result computed on another thread. It counts as open work of its environment, so the
// event loop waits for it.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>

#include "environment.h"
#include "translate-out.h"

namespace llamaestro::binding {

template <typename T>
class Pending {
 public:
  using ToValue = std::function<Napi::Value(Napi::Env, T&)>;

  // JavaScript thread. `toValue` runs there too, when the value has come.
  Pending(Napi::Env env, std::shared_ptr<Environment> environment, ToValue toValue)
      : environment_(std::move(environment)),
        deferred_(Napi::Promise::Deferred::New(env)),
        toValue_(std::move(toValue)) {
    environment_->beginWork();
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  // JavaScript thread: settles now.
  void settle(Napi::Env env, Result<T> result) {
    environment_->endWork();
    if (!result.ok()) {
      deferred_.Reject(toJsError(env, result.error()));
      return;
    }
    try {
      deferred_.Resolve(toValue_(env, result.value()));
    } catch (const Napi::Error& thrown) {
      deferred_.Reject(thrown.Value());
    }
  }

  // Any thread: settles on the JavaScript thread.
  static void post(const std::shared_ptr<Pending>& self, Result<T> result) {
    auto shared = std::make_shared<Result<T>>(std::move(result));
    self->environment_->complete([self, shared](Napi::Env env) { self->settle(env, std::move(*shared)); });
  }

 private:
  std::shared_ptr<Environment> environment_;
  Napi::Promise::Deferred deferred_;
  ToValue toValue_;
};

}  // namespace llamaestro::binding
