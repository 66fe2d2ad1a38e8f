// What the runtime says: its log and its assertions become the error of the call that they came from.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string>

#include <executorch/runtime/core/error.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

namespace et = ::executorch::runtime;

namespace {

thread_local int calls_inside = 0; // so that other users of the runtime keep their messages
thread_local std::string first_complaint; // the innermost cause is logged first
pal_emit_log_message_method emit_before = nullptr;
pal_abort_method abort_before = nullptr;

// Thrown where the runtime gives up on an assertion, as kernels do on values of the wrong type in a damaged
// program. It passes frames that were compiled without exceptions, and what they hold is lost: so the method that
// it came from is never used or destroyed afterwards.
struct Aborted {};

void give_up() {
  if (calls_inside > 0) {
    throw Aborted();
  }
  if (abort_before != nullptr) {
    abort_before();
  }
  std::abort();
}

void collect(
    et_timestamp_t when,
    et_pal_log_level_t level,
    const char* file,
    const char* function,
    size_t line,
    const char* text,
    size_t length) {
  if (calls_inside == 0) {
    if (emit_before != nullptr) {
      emit_before(when, level, file, function, line, text, length);
    }
  } else if (level == kFatal || (level == kError && first_complaint.empty())) {
    first_complaint.assign(text, length);
  }
}

// ExecuTorch's Python module, where it is loaded too, takes our log away for its own: look each time.
void initialise() {
  static std::once_flag once;
  std::call_once(once, et::runtime_init);
  const et::PalImpl* now = et::get_pal_impl();
  if (now == nullptr || now->emit_log_message == collect) {
    return;
  }
  static std::mutex lock;
  const std::lock_guard<std::mutex> hold(lock);
  if (emit_before == nullptr) { // the first one only: two that pass to each other would never end
    emit_before = now->emit_log_message;
    abort_before = now->abort;
  }
  // Null leaves an entry as it is.
  et::register_pal(
      et::PalImpl::create(nullptr, give_up, nullptr, nullptr, collect, nullptr, nullptr, __FILE__));
}

struct Call {
  Call() {
    initialise();
    ++calls_inside;
    first_complaint.clear();
  }
  ~Call() {
    --calls_inside;
  }
};

int32_t answer(et::Error error, char* message, size_t capacity) {
  if (error != et::Error::Ok && capacity > 0) {
    std::string text = et::to_string(error);
    text.erase(0, std::strlen("Error::"));
    if (!first_complaint.empty()) {
      text += " (" + first_complaint + ")";
    }
    std::snprintf(message, capacity, "%s", text.c_str());
  }
  return static_cast<int32_t>(error);
}

template <typename Work>
int32_t guarded(char* message, size_t capacity, const Work& work) {
  Call call;
  try {
    return answer(work(), message, capacity);
  } catch (const Aborted&) {
    return answer(et::Error::Internal, message, capacity);
  } catch (const std::bad_alloc&) {
    return answer(et::Error::MemoryAllocationFailed, message, capacity);
  } catch (const std::exception& error) {
    first_complaint = error.what();
    return answer(et::Error::Internal, message, capacity);
  } catch (...) {
    return answer(et::Error::Internal, message, capacity);
  }
}

} // namespace
