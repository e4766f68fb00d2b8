#include "runtime/plan/node_kernels.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "graph/passes/decompose.h"
#include "runtime/plan/plan.h"

namespace zoetrope {
namespace {

class Finder {
 public:
  Finder(Graph graph, Device& device, Device* host, const StaysEncoded& stays)
      : device_(device), host_(host), stays_(stays) {
    out_.graph = std::move(graph);
  }

  Result<NodeKernels> run() {
    const Graph given = stays_ ? out_.graph : Graph();
    for (size_t refused = 0;; refused = refused_.size()) {
      ZT_RETURN_IF_ERROR(decompose());
      if (stays_) {
        ZT_ASSIGN_OR_RETURN(out_.graph, expand_at_readers(out_.graph));
      } else {
        propagate_rates(&out_.graph);
      }
      ZT_RETURN_IF_ERROR(find_computing());
      if (stays_) ZT_RETURN_IF_ERROR(find_expanding());
      if (refused_.size() == refused) break;
      out_ = NodeKernels();  // once more, without what the device does not expand
      out_.graph = given;
      known_.clear();
    }
    out_.distinct = static_cast<int32_t>(known_.size());
    for (const Answer* answer : answers_)
      out_.nodes.push_back(answer == nullptr
                               ? NodeKernel()
                               : NodeKernel{*answer->info, answer->distinct, answer->on_host});
    return std::move(out_);
  }

 private:
  struct Answer {
    Result<KernelInfo> info;
    int32_t distinct = -1;
    bool on_host = false;
  };

  Result<const Answer*> query(const Node& node) { return query(kernel_request(out_.graph, node)); }

  Result<const Answer*> query(const KernelRequest& request) {
    std::string key = kernel_signature(request);
    if (const auto it = known_.find(key); it != known_.end()) return &it->second;
    auto info = device_.query_kernel(request);
    if (!info.ok() && info.status().code() != Code::kUnsupported)
      return info.status().with_context(describe(out_.graph, *request.node));
    const auto distinct = static_cast<int32_t>(known_.size());
    return &known_.emplace(std::move(key), Answer{std::move(info), distinct}).first->second;
  }

  // Fused nodes that the device lacks are replaced, by simpler ones that it may lack too.
  Status decompose() {
    for (;;) {
      ZT_RETURN_IF_ERROR(derive());
      std::vector<bool> missing(out_.graph.nodes.size(), false);
      bool any = false;
      for (size_t n = 0; n < out_.graph.nodes.size(); ++n) {
        const Node& node = out_.graph.nodes[n];
        if (!op_def(node.op).is_fused()) continue;
        ZT_ASSIGN_OR_RETURN(const Answer* const answer, query(node));
        if (!answer->info.ok()) missing[n] = any = true;
      }
      if (!any) return Status();
      ZT_ASSIGN_OR_RETURN(out_.graph, decompose_fused(out_.graph, [&](const Node& node) {
                            return missing[static_cast<size_t>(&node - out_.graph.nodes.data())];
                          }));
    }
  }

  // Numbers from weights of fewer bits that do not stay encoded are weights themselves.
  Status derive() {
    StaysEncoded stays;
    if (stays_)
      stays = [this](const DerivedWeight& w) { return !refused_.contains(w.name) && stays_(w); };
    ZT_ASSIGN_OR_RETURN(DerivedGraph derived, derive_weights(out_.graph, stays));
    if (derived.weights.empty()) return Status();
    out_.graph = std::move(derived.graph);
    const auto by_name = [](const DerivedWeight& a, const DerivedWeight& b) {
      return a.name < b.name;
    };
    for (DerivedWeight& weight : derived.weights) {
      const auto at = std::lower_bound(out_.derived.begin(), out_.derived.end(), weight, by_name);
      if (at == out_.derived.end() || at->name != weight.name)
        out_.derived.insert(at, std::move(weight));
    }
    return Status();
  }

  Status find_computing() {
    answers_.assign(out_.graph.nodes.size(), nullptr);
    for (size_t n = 0; n < out_.graph.nodes.size(); ++n) {
      const Node& node = out_.graph.nodes[n];
      if (op_def(node.op).is_view || (stays_ && expands_weights(out_.graph, node))) continue;
      ZT_ASSIGN_OR_RETURN(answers_[n], query(node));
      if (!answers_[n]->info.ok()) ZT_RETURN_IF_ERROR(ask_host(node));
      if (const auto& info = answers_[n]->info; !info.ok())
        return error(info.status().code(), device_.info().backend, ": ", device_.info().name,
                     " has no kernel for ", describe(out_.graph, node), ": ",
                     info.status().message());
    }
    return Status();
  }

  // The host's answer in place of a device's no, if it has a better one.
  Status ask_host(const Node& node) {
    if (host_ == nullptr) return Status();
    const KernelRequest request = kernel_request(out_.graph, node);
    auto info = host_->query_kernel(request);
    if (!info.ok()) return info.status().code() == Code::kUnsupported ? Status() : info.status();
    Answer& answer = known_.at(kernel_signature(request));
    answer.info = std::move(info);
    answer.on_host = true;
    return Status();
  }

  // After those that read what they expand, which say in which layout.
  Status find_expanding() {
    const auto readers = consumers(out_.graph);
    for (size_t n = 0; n < out_.graph.nodes.size(); ++n) {
      const Node& node = out_.graph.nodes[n];
      if (!expands_weights(out_.graph, node)) continue;
      const ValueId out = node.outputs[0];
      const NodeId reader = readers[static_cast<size_t>(out)].front();
      const Node& by = out_.graph.nodes[static_cast<size_t>(reader)];
      const Answer& of_reader = *answers_[static_cast<size_t>(reader)];
      const auto input = static_cast<size_t>(std::find(by.inputs.begin(), by.inputs.end(), out) -
                                             by.inputs.begin());
      KernelRequest request = kernel_request(out_.graph, node);
      if (const PackedInput* const packed = of_reader.info->packed_input(input)) {
        request.output_as = {std::make_shared<const KernelRequest>(kernel_request(out_.graph, by)),
                             *packed};
        out_.packed_outputs[out] = {reader, *packed};
      }
      ZT_ASSIGN_OR_RETURN(answers_[n], query(request));
      if (of_reader.on_host || !answers_[n]->info.ok())
        refused_.insert(derived_weight(out_.graph, node).name);
    }
    return Status();
  }

  Device& device_;
  Device* const host_;  // null: everything must run on the device
  const StaysEncoded& stays_;
  NodeKernels out_;
  std::unordered_map<std::string, Answer> known_;  // by signature
  std::vector<const Answer*> answers_;             // by node
  std::set<std::string> refused_;  // weights that would stay encoded, but are not expanded here
};

}  // namespace

Result<NodeKernels> find_kernels(Graph graph, Device& device, Device* host,
                                 const StaysEncoded& stays) {
  return Finder(std::move(graph), device, host, stays).run();
}

}  // namespace zoetrope
