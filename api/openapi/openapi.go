// Package openapi holds the OpenAPI 3 description of a gateway's REST face, which
// `make generate` writes from api/proto and api/rest.yaml.
package openapi

import _ "embed"

// JSON is the description.
//
//go:embed openapi.json
var JSON []byte

// YAML is the same.
//
//go:embed openapi.yaml
var YAML []byte
