// Programs and methods, with the memory that they stand on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>

#include "executorch_recorder.h"

using ::executorch::aten::TensorImpl;

namespace {

constexpr size_t kPlannedAlignment = 64; // a cache line; kernels ask for 16

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
