// A plain C interface to the ExecuTorch C++ runtime, for `runtimes/executorch_native.py` to call by ctypes.
//
// One file without Python in it, so one build serves every Python version. Every function answers an
// ExecuTorch error number (0: done) and writes one line to `message` when that is not 0. No exception leaves,
// and nothing is printed: the first error that the runtime logs in the course of a call becomes that line, and
// its notes on the machine (five lines on stderr where /sys lacks files that a phone has) are dropped.
// Calls on one method must take turns; different programs are independent.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/core/event_tracer.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#define EDGEWRIGHT_API extern "C" __attribute__((visibility("default")))

namespace et = ::executorch::runtime;
using ::executorch::aten::ScalarType;
using ::executorch::aten::Tensor;
using ::executorch::aten::TensorImpl;

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
constexpr size_t kPlannedAlignment = 64; // a cache line; kernels ask for 16

enum Kind : int32_t { kTensor = 0, kInteger = 1, kReal = 2, kTruth = 3, kOther = 4 };

// ---- what the runtime says -------------------------------------------------------------------------------

thread_local int calls_inside = 0; // so that other users of the runtime keep their messages
thread_local std::string first_complaint; // the innermost cause is logged first
pal_emit_log_message_method emit_before = nullptr;
pal_abort_method abort_before = nullptr;

// Thrown where the runtime gives up on an assertion, as kernels do on values of the wrong type in a damaged
// program. It passes frames that were compiled without exceptions: what they hold is lost, so the method it came
// from is never used or destroyed afterwards.
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

// ---- profiling -------------------------------------------------------------------------------------------

struct Event {
  std::string name;
  int32_t instruction; // of the method; -1 outside of one
  int32_t delegate_id; // of the delegate's operator; -1 where it has none
  int32_t in_delegate; // 1: an operator inside a delegate
  int64_t start_ns;
  int64_t end_ns;
};

class Recorder final : public et::EventTracer {
 public:
  std::vector<Event> events;

  void create_event_block(const char*) override {}
  et::EventTracerEntry start_profiling(const char* name, et::ChainID chain, et::DebugHandle handle) override {
    const bool unset = chain == et::kUnsetChainId && handle == et::kUnsetDebugHandle;
    return begin(name, unset ? static_cast<int32_t>(debug_handle_) : static_cast<int32_t>(handle), -1, 0);
  }
  et::EventTracerEntry start_profiling_delegate(const char* name, et::DelegateDebugIntId id) override {
    return begin(name, static_cast<int32_t>(debug_handle_), id, 1);
  }
  void end_profiling(et::EventTracerEntry entry) override {
    finish(entry);
  }
  void end_profiling_delegate(et::EventTracerEntry entry, const void*, size_t) override {
    finish(entry);
  }
  void log_profiling_delegate(
      const char* name,
      et::DelegateDebugIntId id,
      et_timestamp_t start,
      et_timestamp_t end,
      const void*,
      size_t) override {
    const auto instruction = static_cast<int32_t>(debug_handle_);
    events.push_back({name != nullptr ? name : "", instruction, id, 1, ns(start), ns(end)});
  }
  void track_allocation(et::AllocatorID, size_t) override {}
  et::AllocatorID track_allocator(const char*) override {
    return 0;
  }
  et::Result<bool> log_evalue(const et::EValue&, et::LoggedEValueType) override {
    return true;
  }
  et::Result<bool> log_intermediate_output_delegate(
      const char*, et::DelegateDebugIntId, const Tensor&) override {
    return true;
  }
  et::Result<bool> log_intermediate_output_delegate(
      const char*, et::DelegateDebugIntId, const et::ArrayRef<Tensor>) override {
    return true;
  }
  et::Result<bool> log_intermediate_output_delegate(
      const char*, et::DelegateDebugIntId, const int&) override {
    return true;
  }
  et::Result<bool> log_intermediate_output_delegate(
      const char*, et::DelegateDebugIntId, const bool&) override {
    return true;
  }
  et::Result<bool> log_intermediate_output_delegate(
      const char*, et::DelegateDebugIntId, const double&) override {
    return true;
  }
  void set_delegation_intermediate_output_filter(et::EventTracerFilterBase*) override {}

 private:
  static int64_t ns(et_timestamp_t ticks) {
    const et_tick_ratio_t ratio = et::pal_ticks_to_ns_multiplier();
    return static_cast<int64_t>(ticks * ratio.numerator / ratio.denominator);
  }
  et::EventTracerEntry
  begin(const char* name, int32_t instruction, int32_t delegate_id, int32_t in_delegate) {
    et::EventTracerEntry entry{};
    entry.event_id = static_cast<int64_t>(events.size());
    events.push_back({name != nullptr ? name : "", instruction, delegate_id, in_delegate, 0, 0});
    events.back().start_ns = ns(et::pal_current_ticks()); // last, so that the bookkeeping is not timed
    return entry;
  }
  void finish(const et::EventTracerEntry& entry) {
    const int64_t now = ns(et::pal_current_ticks());
    const auto index = static_cast<size_t>(entry.event_id);
    if (index < events.size()) { // not one that began before the events were cleared
      events[index].end_ns = now;
    }
  }
};

// ---- programs and methods --------------------------------------------------------------------------------

struct ProgramHandle {
  std::unique_ptr<uint8_t, decltype(&std::free)> copy{nullptr, &std::free};
  std::unique_ptr<::executorch::extension::BufferDataLoader> loader;
  std::unique_ptr<et::Program> program;
};

using Buffer = std::unique_ptr<uint8_t, decltype(&std::free)>;

// Zeroed by calloc, whose large pages the system hands out only when they are touched.
Buffer make_buffer(size_t bytes, uint8_t** aligned) {
  if (bytes > SIZE_MAX - kPlannedAlignment) {
    throw std::bad_alloc();
  }
  Buffer buffer(static_cast<uint8_t*>(std::calloc(bytes + kPlannedAlignment, 1)), &std::free);
  if (buffer == nullptr) {
    throw std::bad_alloc();
  }
  const auto address = reinterpret_cast<uintptr_t>(buffer.get());
  *aligned = buffer.get() + (kPlannedAlignment - address % kPlannedAlignment) % kPlannedAlignment;
  return buffer;
}

struct Input {
  std::vector<TensorImpl::SizesType> sizes;
  std::vector<TensorImpl::StridesType> strides;
  std::vector<TensorImpl::DimOrderType> order;
};

struct MethodHandle {
  // In this order: a method is destroyed before the memory it stands on.
  ::executorch::extension::MallocMemoryAllocator method_memory;
  ::executorch::extension::MallocMemoryAllocator temporary_memory;
  std::vector<Buffer> buffers;
  std::vector<et::Span<uint8_t>> planned;
  std::unique_ptr<et::HierarchicalAllocator> hierarchy;
  std::unique_ptr<et::MemoryManager> manager;
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<et::Method> method;
  std::vector<Input> inputs;
  bool aborted = false;
};

et::Error plan_memory(const et::MethodMeta& meta, MethodHandle& handle) {
  for (size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
    const auto size = meta.memory_planned_buffer_size(i);
    if (!size.ok()) {
      return size.error();
    }
    if (size.get() < 0) {
      return et::Error::InvalidProgram;
    }
    uint8_t* aligned = nullptr;
    handle.buffers.push_back(make_buffer(static_cast<size_t>(size.get()), &aligned));
    handle.planned.push_back({aligned, static_cast<size_t>(size.get())});
  }
  handle.hierarchy = std::make_unique<et::HierarchicalAllocator>(
      et::Span<et::Span<uint8_t>>(handle.planned.data(), handle.planned.size()));
  handle.manager = std::make_unique<et::MemoryManager>(
      &handle.method_memory, handle.hierarchy.get(), &handle.temporary_memory);
  return et::Error::Ok;
}

// Outputs that the memory plan left to the caller get memory of their largest extent, once.
et::Error give_outputs_memory(MethodHandle& handle) {
  for (size_t i = 0; i < handle.method->outputs_size(); ++i) {
    const et::EValue& value = handle.method->get_output(i);
    if (!value.isTensor() || value.toTensor().const_data_ptr() != nullptr || value.toTensor().nbytes() == 0) {
      continue;
    }
    const size_t bytes = value.toTensor().nbytes();
    uint8_t* aligned = nullptr;
    handle.buffers.push_back(make_buffer(bytes, &aligned));
    const et::Error error = handle.method->set_output_data_ptr(aligned, bytes, i);
    if (error != et::Error::Ok) {
      return error;
    }
  }
  return et::Error::Ok;
}

} // namespace

// ---- the interface: mirrored in runtimes/executorch_native.py --------------------------------------------

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
    if (input_count != handle.method->inputs_size() || output_count != handle.method->outputs_size()) {
      return et::Error::InvalidArgument;
    }
    for (size_t i = 0; i < input_count; ++i) {
      const et::Error error = write_input(handle, i, inputs[i]);
      if (error != et::Error::Ok) {
        return error;
      }
    }
    if (handle.aborted) {
      first_complaint = "an earlier run was aborted";
      return et::Error::InvalidState;
    }
    handle.aborted = true;
    const et::Error ran = handle.method->execute();
    handle.aborted = false;
    handle.temporary_memory.reset();
    if (ran != et::Error::Ok) {
      return ran;
    }
    for (size_t i = 0; i < output_count; ++i) {
      const et::Error error = read_value(handle.method->get_output(i), &outputs[i]);
      if (error != et::Error::Ok) {
        return error;
      }
    }
    return et::Error::Ok;
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
