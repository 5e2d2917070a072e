// A JSON Schema document, indexed: which places are schemas, in which draft and resource ($id) they stand, what their
// references mean. Every keyword of every schema is checked for form here, so that what reads them later may rely on
// it. References that leave the document are refused; nothing is fetched.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/json/value.hpp>

#include "base/budget.h"
#include "base/error.h"
#include "grammar/json_schema.h"
#include "grammar/schema_keywords.h"

namespace lancet {

using SchemaId = uint32_t;
/// What the dynamic anchors mean that several resources have: the outermost resource that was entered decides. 0: none
/// has been entered.
using ScopeId = uint32_t;

struct SchemaPlace {
  const boost::json::value* value = nullptr;
  std::string pointer;  // from the document's root
  uint32_t resource = 0;
  Draft draft = Draft::draft2020;
  bool declared = false;  // $schema said the draft; else forms of all drafts are understood
};

class SchemaDocument {
 public:
  /// `root` must outlive this.
  SchemaDocument(const boost::json::value& root, Budget&, std::vector<SchemaNote>* notes);

  SchemaId root() const { return 0; }
  const SchemaPlace& place(SchemaId id) const { return places_[id]; }
  /// The schema at this value of the document, which must be a place known as a schema.
  SchemaId at(const boost::json::value&) const;
  /// The keyword's value, or null: absent, or no keyword of the place's draft, or beside a $ref that hides it.
  const boost::json::value* find(SchemaId, std::string_view keyword) const;
  std::string pointer(SchemaId, std::string_view keyword) const;
  /// The target of the $ref, $recursiveRef or $dynamicRef at `from`.
  SchemaId resolve(SchemaId from, std::string_view keyword, std::string_view reference, ScopeId);
  /// The scope after entering a schema.
  ScopeId enter(ScopeId, SchemaId);
  void note(std::string pointer, std::string text);
  /// Error{unsupported} for a keyword of this schema.
  [[noreturn]] void refuse(SchemaId, std::string_view keyword, const std::string& reason) const;

 private:
  struct Resource {
    std::string uri;
    SchemaId root = 0;
    std::map<std::string, SchemaId, std::less<>> anchors;
    std::map<std::string, SchemaId, std::less<>> dynamic_anchors;  // $recursiveAnchor has the empty name
  };

  SchemaId walk(const boost::json::value&, const std::string& pointer, const SchemaPlace& parent, int depth);
  void enter_resource(SchemaPlace&, const boost::json::object&);
  void read_anchors(SchemaId, const boost::json::object&);
  void walk_keyword(SchemaId, const Keyword&, const boost::json::value&, int depth);
  void walk_entry(SchemaId, const std::string& pointer, const boost::json::value&, int depth);
  bool understands(const SchemaPlace&, const Keyword&) const;
  SchemaId target(SchemaId from, std::string_view keyword, std::string_view reference);
  SchemaId by_pointer(SchemaId from, std::string_view keyword, uint32_t resource, const std::string& fragment);

  Budget& budget_;
  std::vector<SchemaNote>* notes_;
  std::vector<SchemaPlace> places_;
  std::vector<Resource> resources_;
  std::unordered_map<const boost::json::value*, SchemaId> by_value_;
  using Scope = std::map<std::string, SchemaId, std::less<>>;
  std::map<Scope, ScopeId> scope_ids_;
  std::vector<Scope> scopes_;
};

}  // namespace lancet
