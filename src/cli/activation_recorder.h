// A backend that also looks at what its matrices are multiplied with. Models do not know it; who does not want it runs
// the backend inside, at its own speed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/forwarding_backend.h"
#include "checkpoint/convert.h"

namespace lancet {

/// Passes everything on and sums squares of the input of every product by column.
class ActivationRecorder final : public ForwardingBackend {
 public:
  explicit ActivationRecorder(std::unique_ptr<Backend> inner) : ForwardingBackend(*inner), owned_(std::move(inner)) {}

  /// Squares of the inputs of each matrix by column, over their mean. A tied head's are the embedding's.
  Importance importance() const;

  Weight place(const StoredTensor&, WeightUse) override;
  void matmul(Matrix x, std::initializer_list<Product>) override;

 private:
  struct Columns {
    std::string name;
    std::vector<double> squares;
  };

  std::unique_ptr<Backend> owned_;
  std::map<const std::byte*, Columns> matrices_;  // by where their weights lie
};

}  // namespace lancet
