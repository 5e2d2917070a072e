// The interface described for machines (GET /openapi.json) and for people (the tables in docs/api.md), both printed
// from the tables that the server itself reads: routes.cpp, field_table.cpp, limits.h.
#pragma once

#include <string>

#include <boost/json/object.hpp>

#include "server/fields.h"

namespace lancet {

/// An OpenAPI 3.1 document.
boost::json::object openapi_document(const ServerLimits&, const std::string& version);

/// JSON Schema of one field's values, null included where it is allowed.
boost::json::object field_schema(const Field&, const ServerLimits&);

/// The shapes that no table holds, by name: messages, answers, errors. JSON text of one object.
extern const char* const kOpenapiSchemas;

/// The tables of fields in docs/api.md.
std::string fields_markdown(const ServerLimits&);

}  // namespace lancet
