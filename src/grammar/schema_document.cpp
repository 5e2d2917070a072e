#include "grammar/schema_document.h"

#include <algorithm>
#include <charconv>

#include <boost/json.hpp>

#include "base/check.h"
#include "grammar/schema_uri.h"

namespace lancet {
namespace {

namespace json = boost::json;

constexpr int kMaxDepth = 128;  // of schemas in schemas; parse_json bounds it first
constexpr size_t kMaxNotes = 200;

const json::value* member(const json::object& object, std::string_view key) {
  return object.if_contains(json::string_view(key.data(), key.size()));
}

std::string_view text_of(const json::value& v) { return {v.get_string().data(), v.get_string().size()}; }

/// Reads what $schema says. Throws Error{unsupported} for a meta-schema that is none of the drafts'.
Draft draft_of(std::string_view uri, const std::string& pointer) {
  struct Known {
    std::string_view part;
    Draft draft;
  };
  constexpr Known kKnown[] = {
      {"json-schema.org/draft-04/schema", Draft::draft4},
      {"json-schema.org/draft-06/schema", Draft::draft6},
      {"json-schema.org/draft-07/schema", Draft::draft7},
      {"json-schema.org/draft/2019-09/schema", Draft::draft2019},
      {"json-schema.org/draft/2020-12/schema", Draft::draft2020},
      {"json-schema.org/schema", Draft::draft2020},
  };
  std::string_view bare = uri;
  if (bare.starts_with("http://")) bare.remove_prefix(7);
  if (bare.starts_with("https://")) bare.remove_prefix(8);
  while (bare.ends_with('#') || bare.ends_with('/')) bare.remove_suffix(1);
  for (const Known& known : kKnown) {
    if (bare == known.part) return known.draft;
  }
  throw Error{Fault::unsupported,
              "$schema " + quoted(uri) + " is none of the drafts 4, 6, 7, 2019-09 and 2020-12 of JSON Schema", pointer};
}

bool hides_siblings(const SchemaPlace& place, const json::object& object) {
  return place.declared && place.draft <= Draft::draft7 && member(object, "$ref") != nullptr;
}

const json::value* step_into(const json::value& value, const std::string& token) {
  if (value.is_object()) return member(value.get_object(), token);
  if (!value.is_array()) return nullptr;
  size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (error != std::errc() || end != token.data() + token.size() || index >= value.get_array().size()) return nullptr;
  return &value.get_array()[index];
}

}  // namespace

SchemaDocument::SchemaDocument(const json::value& root, Budget& budget, std::vector<SchemaNote>* notes)
    : budget_(budget), notes_(notes) {
  if (!root.is_object() && !root.is_bool()) {
    throw Error{Fault::bad_request,
                "a JSON schema must be an object, true or false, found " + quoted(json::serialize(root))};
  }
  resources_.push_back({});
  scopes_.push_back({});
  scope_ids_.emplace(Scope(), 0);
  walk(root, "", {}, 0);
}

SchemaId SchemaDocument::at(const json::value& value) const {
  const auto found = by_value_.find(&value);
  CHECK(found != by_value_.end());
  return found->second;
}

std::string SchemaDocument::pointer(SchemaId id, std::string_view keyword) const {
  return places_[id].pointer + (keyword.empty() ? "" : json_pointer_token(keyword));
}

void SchemaDocument::note(std::string pointer, std::string text) {
  if (notes_ && notes_->size() < kMaxNotes) notes_->push_back({std::move(pointer), std::move(text)});
}

void SchemaDocument::refuse(SchemaId id, std::string_view keyword, const std::string& reason) const {
  throw Error{Fault::unsupported, reason, pointer(id, keyword)};
}

bool SchemaDocument::understands(const SchemaPlace& place, const Keyword& keyword) const {
  return place.declared ? keyword.in(place.draft) : keyword.name != "id";
}

const json::value* SchemaDocument::find(SchemaId id, std::string_view keyword) const {
  const SchemaPlace& place = places_[id];
  if (!place.value->is_object()) return nullptr;
  const json::object& object = place.value->get_object();
  if (keyword != "$ref" && hides_siblings(place, object)) return nullptr;
  const Keyword* known = find_keyword(keyword);
  CHECK(known);
  return understands(place, *known) ? member(object, keyword) : nullptr;
}

SchemaId SchemaDocument::walk(const json::value& value, const std::string& pointer, const SchemaPlace& parent,
                              int depth) {
  if (const auto found = by_value_.find(&value); found != by_value_.end()) return found->second;
  budget_.step();
  budget_.charge(sizeof(SchemaPlace) + pointer.size() + 64);
  if (depth > kMaxDepth) throw Error{Fault::bad_request, "the schema is nested too deeply", pointer};
  SchemaPlace place = parent;
  place.value = &value;
  place.pointer = pointer;
  if (value.is_object()) enter_resource(place, value.get_object());
  const auto id = static_cast<SchemaId>(places_.size());
  if (place.resource != parent.resource) resources_[place.resource].root = id;
  places_.push_back(place);
  by_value_.emplace(&value, id);
  if (!value.is_object()) return id;
  const json::object& object = value.get_object();
  read_anchors(id, object);
  const bool hidden = hides_siblings(place, object);
  for (const auto& [key_view, child] : object) {
    const std::string_view key(key_view.data(), key_view.size());
    const Keyword* keyword = find_keyword(key);
    const bool here = !hidden || key == "$ref" || key == "definitions";
    if (keyword && here && understands(place, *keyword)) {
      walk_keyword(id, *keyword, child, depth);
    } else if (!keyword) {
      note(pointer + json_pointer_token(key), quoted(key) + " is no keyword of JSON Schema: an annotation");
    } else {
      const std::string why = hidden ? "is ignored beside $ref in " : "is no keyword of ";
      if (keyword->form != KeywordForm::annotation) {
        note(pointer + json_pointer_token(key), std::string(key) + " " + why + std::string(draft_name(place.draft)));
      }
    }
  }
  return id;
}

void SchemaDocument::enter_resource(SchemaPlace& place, const json::object& object) {
  const bool root = places_.empty();
  const json::value* schema = member(object, "$schema");
  Draft draft = place.draft;
  bool declared = place.declared;
  if (schema && schema->is_string()) {
    draft = draft_of(text_of(*schema), place.pointer + "/$schema");
    declared = true;
  }
  const bool old = declared && draft == Draft::draft4;
  const json::value* id = member(object, old ? "id" : "$id");
  if (declared && draft <= Draft::draft7 && member(object, "$ref") && !root) id = nullptr;
  const bool names = id && id->is_string() && !text_of(*id).starts_with('#') && !text_of(*id).empty();
  if (names || root) {
    place.draft = draft;
    place.declared = declared;
  }
  if (!names) return;
  std::string uri = resolve_uri(resources_[place.resource].uri, text_of(*id));
  if (root) {
    resources_[0].uri = std::move(uri);
    return;
  }
  place.resource = static_cast<uint32_t>(resources_.size());
  resources_.push_back({.uri = std::move(uri)});
}

void SchemaDocument::read_anchors(SchemaId id, const json::object& object) {
  const SchemaPlace& place = places_[id];
  Resource& resource = resources_[place.resource];
  if (place.declared && place.draft <= Draft::draft7) {
    const json::value* name = member(object, place.draft == Draft::draft4 ? "id" : "$id");
    if (name && name->is_string() && text_of(*name).size() > 1 && text_of(*name).starts_with('#')) {
      resource.anchors.emplace(text_of(*name).substr(1), id);
    }
    return;
  }
  if (const json::value* name = find(id, "$anchor"); name && name->is_string()) {
    resource.anchors.emplace(text_of(*name), id);
  }
  if (const json::value* name = find(id, "$dynamicAnchor"); name && name->is_string()) {
    resource.anchors.emplace(text_of(*name), id);
    resource.dynamic_anchors.emplace(text_of(*name), id);
  }
  if (const json::value* set = find(id, "$recursiveAnchor"); set && set->is_bool() && set->get_bool()) {
    if (id == resource.root || (id == 0 && place.resource == 0)) resource.dynamic_anchors.emplace("", id);
  }
}

void SchemaDocument::walk_entry(SchemaId id, const std::string& pointer, const json::value& value, int depth) {
  if (value.is_array()) return;  // names of `dependencies`
  walk(value, pointer, SchemaPlace(places_[id]), depth + 1);
}

void SchemaDocument::walk_keyword(SchemaId id, const Keyword& keyword, const json::value& value, int depth) {
  const std::string place = pointer(id, keyword.name);
  check_keyword(keyword, value, place);
  if (keyword.name == "items" && value.is_array() && places_[id].declared && places_[id].draft == Draft::draft2020) {
    throw Error{Fault::bad_request, "schema keyword items wants a schema in 2020-12, found a list: see prefixItems",
                place};
  }
  const bool flags = !places_[id].declared || places_[id].draft == Draft::draft4;
  if (keyword.form == KeywordForm::number_or_flag && value.is_bool() && !flags) {
    throw Error{Fault::bad_request, "schema keyword " + std::string(keyword.name) + " wants a number since draft 6",
                place};
  }
  switch (keyword.form) {
    case KeywordForm::schema: walk_entry(id, place, value, depth); return;
    case KeywordForm::schemas:
    case KeywordForm::schema_or_schemas:
      if (!value.is_array()) {
        walk_entry(id, place, value, depth);
        return;
      }
      for (size_t i = 0; i < value.get_array().size(); i++) {
        walk_entry(id, place + "/" + std::to_string(i), value.get_array()[i], depth);
      }
      return;
    case KeywordForm::schemas_by_name:
    case KeywordForm::schemas_or_names_by_name:
      for (const auto& [key, child] : value.get_object()) {
        walk_entry(id, place + json_pointer_token({key.data(), key.size()}), child, depth);
      }
      return;
    default: return;
  }
}

SchemaId SchemaDocument::resolve(SchemaId from, std::string_view keyword, std::string_view reference, ScopeId scope) {
  const SchemaId found = target(from, keyword, reference);
  if (keyword == "$ref") return found;
  const std::string name(keyword == "$recursiveRef" ? std::string_view() : uri_fragment(reference));
  if (!resources_[places_[found].resource].dynamic_anchors.contains(name)) return found;
  const auto outer = scopes_[scope].find(name);
  return outer == scopes_[scope].end() ? found : outer->second;
}

ScopeId SchemaDocument::enter(ScopeId id, SchemaId schema) {
  const auto& anchors = resources_[places_[schema].resource].dynamic_anchors;
  if (anchors.empty() || resources_.size() == 1) return id;
  Scope scope = scopes_[id];
  for (const auto& [name, target] : anchors) scope.try_emplace(name, target);
  if (scope.size() == scopes_[id].size()) return id;
  budget_.step(1 + scope.size());
  budget_.charge(64 * scope.size());
  const auto [slot, fresh] = scope_ids_.try_emplace(scope, static_cast<ScopeId>(scopes_.size()));
  if (fresh) scopes_.push_back(std::move(scope));
  return slot->second;
}

SchemaId SchemaDocument::target(SchemaId from, std::string_view keyword, std::string_view reference) {
  const uint32_t here = places_[from].resource;
  const std::string uri = resolve_uri(resources_[here].uri, reference);
  uint32_t resource = here;
  if (uri != resources_[here].uri) {
    const auto found = std::ranges::find(resources_, uri, &Resource::uri);
    if (found == resources_.end()) {
      refuse(from, keyword, "the reference " + quoted(reference) + " leaves this schema; nothing is fetched");
    }
    resource = static_cast<uint32_t>(found - resources_.begin());
  }
  const std::optional<std::string> fragment = percent_decode(uri_fragment(reference));
  if (!fragment) {
    throw Error{Fault::bad_request, "the reference " + quoted(reference) + " has a broken % escape",
                pointer(from, keyword)};
  }
  if (fragment->empty()) return resources_[resource].root;
  if (fragment->starts_with('/')) return by_pointer(from, keyword, resource, *fragment);
  const auto& anchors = resources_[resource].anchors;
  const auto anchor = anchors.find(*fragment);
  if (anchor == anchors.end()) {
    throw Error{Fault::bad_request, "the reference " + quoted(reference) + " names an anchor that does not exist",
                pointer(from, keyword)};
  }
  return anchor->second;
}

SchemaId SchemaDocument::by_pointer(SchemaId from, std::string_view keyword, uint32_t resource,
                                    const std::string& fragment) {
  const auto fail = [&](std::string_view why) {
    throw Error{Fault::bad_request, "the reference to " + quoted("#" + fragment) + " " + std::string(why),
                pointer(from, keyword)};
  };
  const std::optional<std::vector<std::string>> tokens = split_json_pointer(fragment);
  if (!tokens) fail("is no JSON pointer");
  SchemaPlace around = places_[resources_[resource].root];
  const json::value* value = around.value;
  std::string place = around.pointer;
  for (const std::string& token : *tokens) {
    budget_.step();
    value = step_into(*value, token);
    if (!value) fail("leads nowhere");
    place += json_pointer_token(token);
    if (const auto known = by_value_.find(value); known != by_value_.end()) around = places_[known->second];
  }
  if (!value->is_object() && !value->is_bool()) fail("leads to something that is no schema");
  return walk(*value, place, around, 0);
}

}  // namespace lancet
