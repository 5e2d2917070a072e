// Ties source, tree and interpreter together. See template.h.
#include "jinja/template.h"

#include "jinja/interpreter.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"

namespace lancet {

struct JinjaTemplate::Parsed {
  std::string source;
  JinjaBody body;
};

JinjaTemplate::JinjaTemplate(std::string_view source, Budget& budget) {
  auto parsed = std::make_unique<Parsed>();
  parsed->source = normalise_line_ends(source);
  parsed->body = parse_jinja(parsed->source, budget);
  parsed_ = std::move(parsed);
}

JinjaTemplate::~JinjaTemplate() = default;
JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;

MarkedText JinjaTemplate::render(Variables variables, const Options& options, Budget& budget) const {
  return JinjaInterpreter(parsed_->source, std::move(variables), budget, options.limits, options.now)
      .render(parsed_->body);
}

}  // namespace lancet
