// Profiling: what the runtime and its delegates report of a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <executorch/runtime/core/event_tracer.h>
#include <executorch/runtime/platform/platform.h>

namespace et = ::executorch::runtime;
using ::executorch::aten::Tensor;

namespace {

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

} // namespace
