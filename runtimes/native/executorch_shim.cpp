// A plain C interface to the ExecuTorch C++ runtime, for Python to call by ctypes.
//
// There is no Python in it, so one build serves every Python version. Every function answers an
// ExecuTorch error number (0: done) and writes one line to `message` when that is not 0. No exception leaves,
// and nothing is printed: the first error that the runtime logs in the course of a call becomes that line and
// its notes on the machine (five lines on stderr where /sys lacks files that a phone has) are dropped.
// Calls on one method must take turns; different programs are independent.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "executorch_log.h"
#include "executorch_method.h"
#include "executorch_recorder.h"

#define EDGEWRIGHT_API extern "C" __attribute__((visibility("default")))

using ::executorch::aten::ScalarType;

// The wheel ships this class in libexecutorch_threadpool.so without its header (executorch 1.5).
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
} // namespace executorch::extension::threadpool

namespace {

constexpr int32_t kAbi = 1; // raised with every change of a structure or a signature below
constexpr size_t kMaxRank = 16; // ExecuTorch's own kTensorDimensionLimit

enum Kind : int32_t { kTensor = 0, kInteger = 1, kReal = 2, kTruth = 3, kOther = 4 };

} // namespace

// ---- the interface: mirrored in runtimes/executorch_abi.py -----------------------------------------------

struct edgewright_value {
  int32_t kind; // Kind
  int32_t dtype; // ExecuTorch's ScalarType
  int32_t rank;
  int32_t contiguous; // 1: elements lie in row-major order
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxRank]; // in elements
  void* data;
  int64_t bytes;
  int64_t integer; // of kInteger and kTruth
  double real; // of kReal
};

struct edgewright_event {
  const char* name;
  int32_t instruction;
  int32_t delegate_id;
  int32_t in_delegate;
  int32_t unused;
  int64_t start_ns;
  int64_t end_ns;
};

namespace {

void describe(const Tensor& tensor, edgewright_value* out) {
  out->kind = kTensor;
  out->dtype = static_cast<int32_t>(tensor.scalar_type());
  out->rank = static_cast<int32_t>(tensor.dim());
  out->bytes = static_cast<int64_t>(tensor.nbytes());
  out->data = const_cast<void*>(tensor.const_data_ptr());
  int64_t expected = 1;
  out->contiguous = 1;
  for (int32_t d = out->rank - 1; d >= 0; --d) {
    out->sizes[d] = tensor.size(d);
    out->strides[d] = tensor.strides()[d];
    if (out->sizes[d] != 1 && out->strides[d] != expected) {
      out->contiguous = 0;
    }
    expected *= out->sizes[d];
  }
}

et::Error read_value(const et::EValue& value, edgewright_value* out) {
  if (value.isTensor()) {
    if (static_cast<size_t>(value.toTensor().dim()) > kMaxRank) {
      return et::Error::NotSupported;
    }
    describe(value.toTensor(), out);
  } else if (value.isInt()) {
    out->kind = kInteger;
    out->integer = value.toInt();
  } else if (value.isDouble()) {
    out->kind = kReal;
    out->real = value.toDouble();
  } else if (value.isBool()) {
    out->kind = kTruth;
    out->integer = value.toBool() ? 1 : 0;
  } else {
    out->kind = kOther;
  }
  return et::Error::Ok;
}

et::Error write_input(MethodHandle& handle, size_t index, const edgewright_value& given) {
  if (given.rank < 0 || static_cast<size_t>(given.rank) > kMaxRank) {
    return et::Error::InvalidArgument;
  }
  const auto rank = static_cast<size_t>(given.rank);
  Input& input = handle.inputs[index]; // kept: a method may point at its input rather than copy it
  input.sizes.resize(rank);
  input.strides.resize(rank);
  input.order.resize(rank);
  int64_t step = 1;
  for (size_t d = rank; d-- > 0;) {
    input.sizes[d] = static_cast<TensorImpl::SizesType>(given.sizes[d]);
    input.strides[d] = static_cast<TensorImpl::StridesType>(step);
    input.order[d] = static_cast<TensorImpl::DimOrderType>(d);
    step *= given.sizes[d];
  }
  TensorImpl tensor(
      static_cast<ScalarType>(given.dtype),
      static_cast<ssize_t>(rank),
      input.sizes.data(),
      given.data,
      input.order.data(),
      input.strides.data());
  return handle.method->set_input(et::EValue(Tensor(&tensor)), index);
}

et::Error run_once(MethodHandle& handle, const edgewright_value* inputs, edgewright_value* outputs) {
  for (size_t i = 0; i < handle.inputs.size(); ++i) {
    const et::Error error = write_input(handle, i, inputs[i]);
    if (error != et::Error::Ok) {
      return error;
    }
  }
  const et::Error ran = handle.method->execute();
  handle.temporary_memory.reset();
  if (ran != et::Error::Ok) {
    return ran;
  }
  for (size_t i = 0; i < handle.method->outputs_size(); ++i) {
    const et::Error error = read_value(handle.method->get_output(i), &outputs[i]);
    if (error != et::Error::Ok) {
      return error;
    }
  }
  return et::Error::Ok;
}

} // namespace

EDGEWRIGHT_API int32_t edgewright_abi() {
  return kAbi;
}

// `data` must stay where it is until `edgewright_close`.
EDGEWRIGHT_API int32_t
edgewright_open(const void* data, size_t size, void** out, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    auto handle = std::make_unique<ProgramHandle>();
    if (reinterpret_cast<uintptr_t>(data) % alignof(std::max_align_t) != 0) { // the runtime insists
      uint8_t* aligned = nullptr;
      handle->copy = make_buffer(size, &aligned);
      std::memcpy(aligned, data, size);
      data = aligned;
    }
    handle->loader = std::make_unique<::executorch::extension::BufferDataLoader>(data, size);
    // Minimal, the default in C++, lets damaged programs crash the process.
    auto program = et::Program::load(handle->loader.get(), et::Program::Verification::InternalConsistency);
    if (!program.ok()) {
      return program.error();
    }
    handle->program = std::make_unique<et::Program>(std::move(program.get()));
    *out = handle.release();
    return et::Error::Ok;
  });
}

EDGEWRIGHT_API void edgewright_close(void* program) {
  Call call;
  delete static_cast<ProgramHandle*>(program);
}

EDGEWRIGHT_API size_t edgewright_methods(void* program) {
  return static_cast<ProgramHandle*>(program)->program->num_methods();
}

// Null where the program names none. The text lives as long as the program.
EDGEWRIGHT_API const char* edgewright_method_name(void* program, size_t index) {
  Call call;
  const auto name = static_cast<ProgramHandle*>(program)->program->get_method_name(index);
  return name.ok() ? name.get() : nullptr;
}

// How many inputs or outputs a method has; -1 where there is no such method. No method need be loaded.
EDGEWRIGHT_API int64_t edgewright_arity(void* program, const char* name, int32_t outputs) {
  Call call;
  const auto meta = static_cast<ProgramHandle*>(program)->program->method_meta(name);
  if (!meta.ok()) {
    return -1;
  }
  return static_cast<int64_t>(outputs != 0 ? meta->num_outputs() : meta->num_inputs());
}

// Data type and largest sizes of an input or output; InvalidArgument where it is not a tensor.
EDGEWRIGHT_API int32_t edgewright_describe(
    void* program,
    const char* name,
    int32_t outputs,
    size_t index,
    edgewright_value* out,
    char* message,
    size_t capacity) {
  return guarded(message, capacity, [&] {
    const auto meta = static_cast<ProgramHandle*>(program)->program->method_meta(name);
    if (!meta.ok()) {
      return meta.error();
    }
    const auto info = outputs != 0 ? meta->output_tensor_meta(index) : meta->input_tensor_meta(index);
    if (!info.ok()) {
      return info.error();
    }
    const auto sizes = info->sizes();
    if (sizes.size() > kMaxRank) {
      return et::Error::NotSupported;
    }
    out->kind = kTensor;
    out->dtype = static_cast<int32_t>(info->scalar_type());
    out->rank = static_cast<int32_t>(sizes.size());
    std::copy(sizes.begin(), sizes.end(), out->sizes);
    return et::Error::Ok;
  });
}

// A method's delegate with that number; null beyond the last. The text lives as long as the program.
EDGEWRIGHT_API const char* edgewright_delegate(void* program, const char* name, size_t index) {
  Call call;
  const auto meta = static_cast<ProgramHandle*>(program)->program->method_meta(name);
  if (!meta.ok() || index >= meta->num_backends()) {
    return nullptr;
  }
  const auto found = meta->get_backend_name(index);
  return found.ok() ? found.get() : nullptr;
}

EDGEWRIGHT_API int32_t edgewright_load(
    void* program, const char* name, int32_t profiled, void** out, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    const et::Program& loaded = *static_cast<ProgramHandle*>(program)->program;
    auto handle = std::make_unique<MethodHandle>();
    const auto meta = loaded.method_meta(name);
    if (!meta.ok()) {
      return meta.error();
    }
    const et::Error planned = plan_memory(meta.get(), *handle);
    if (planned != et::Error::Ok) {
      return planned;
    }
    if (profiled != 0) {
      handle->recorder = std::make_unique<Recorder>();
      handle->recorder->set_event_tracer_profiling_level(et::EventTracerProfilingLevel::kProfileAllEvents);
    }
    auto method = loaded.load_method(name, handle->manager.get(), handle->recorder.get());
    if (!method.ok()) {
      return method.error();
    }
    handle->method = std::make_unique<et::Method>(std::move(method.get()));
    handle->inputs.resize(handle->method->inputs_size());
    const et::Error given = give_outputs_memory(*handle);
    if (given == et::Error::Ok) {
      *out = handle.release();
    }
    return given;
  });
}

EDGEWRIGHT_API void edgewright_unload(void* method) {
  Call call;
  auto* handle = static_cast<MethodHandle*>(method);
  if (!handle->aborted) { // else it may hold anything, and stays
    delete handle;
  }
}

// One run. `inputs` are read until the call ends; `outputs` point into the method, until its next run.
EDGEWRIGHT_API int32_t edgewright_run(
    void* method,
    const edgewright_value* inputs,
    size_t input_count,
    edgewright_value* outputs,
    size_t output_count,
    char* message,
    size_t capacity) {
  return guarded(message, capacity, [&] {
    MethodHandle& handle = *static_cast<MethodHandle*>(method);
    if (handle.aborted) {
      first_complaint = "an earlier run was aborted";
      return et::Error::InvalidState;
    }
    if (input_count != handle.method->inputs_size() || output_count != handle.method->outputs_size()) {
      return et::Error::InvalidArgument;
    }
    try {
      return run_once(handle, inputs, outputs);
    } catch (const Aborted&) {
      handle.aborted = true;
      throw;
    }
  });
}

EDGEWRIGHT_API size_t edgewright_events(void* method) {
  const auto& recorder = static_cast<MethodHandle*>(method)->recorder;
  return recorder == nullptr ? 0 : recorder->events.size();
}

EDGEWRIGHT_API void edgewright_event_at(void* method, size_t index, edgewright_event* out) {
  const Event& event = static_cast<MethodHandle*>(method)->recorder->events[index];
  *out = {event.name.c_str(), event.instruction, event.delegate_id, event.in_delegate, 0, event.start_ns,
          event.end_ns};
}

EDGEWRIGHT_API void edgewright_clear_events(void* method) {
  static_cast<MethodHandle*>(method)->recorder->events.clear();
}

// Size of the process's pool of threads. Nothing may run meanwhile.
EDGEWRIGHT_API int32_t edgewright_set_threads(uint32_t threads, char* message, size_t capacity) {
  return guarded(message, capacity, [&] {
    auto* pool = ::executorch::extension::threadpool::get_threadpool();
    const bool done = pool != nullptr && pool->_unsafe_reset_threadpool(threads);
    return done ? et::Error::Ok : et::Error::OutOfResources;
  });
}

EDGEWRIGHT_API size_t edgewright_threads() {
  Call call;
  const auto* pool = ::executorch::extension::threadpool::get_threadpool();
  return pool == nullptr ? 1 : pool->get_thread_count();
}
