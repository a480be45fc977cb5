// Command openapidoc makes the OpenAPI 3 description in api/openapi of the OpenAPI 2
// one that protoc-gen-openapiv2 writes, which knows REST's rules: it says how callers
// prove who they are, which header names a request and what errors look like.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/goccy/go-yaml"
)

const (
	from  = "bin/openapi/callseal.swagger.json"
	to    = "api/openapi/openapi"
	about = "One operator's gateway to the call records that telephone operators anchor together. " +
		"Callers show a certificate of the operator (mutual TLS) or a bearer token; roles decide who may do what. " +
		"Errors are google.rpc.Status: a sentence, and details with reason, stage, transaction id and whether repeating may help."
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read what buf generate wrote: %w", err)
	}
	var two openapi2.T
	if err := json.Unmarshal(text, &two); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	three, err := openapi2conv.ToV3(&two)
	if err != nil {
		return fmt.Errorf("make OpenAPI 3 of it: %w", err)
	}
	describe(three)
	if err := three.Validate(context.Background()); err != nil {
		return fmt.Errorf("the description is not valid: %w", err)
	}
	written, err := json.MarshalIndent(three, "", "  ")
	if err != nil {
		return fmt.Errorf("write the description: %w", err)
	}
	if err := os.WriteFile(to+".json", append(written, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the description: %w", err)
	}
	asYAML, err := yaml.JSONToYAML(written)
	if err != nil {
		return fmt.Errorf("write the description: %w", err)
	}
	return os.WriteFile(to+".yaml", asYAML, 0o644)
}

// describe says what protos do not.
func describe(doc *openapi3.T) {
	doc.OpenAPI = "3.0.3"
	doc.Info = &openapi3.Info{Title: "Callseal gateway", Version: "v1", Description: about}
	doc.Servers = openapi3.Servers{{URL: "/"}}
	doc.Components.SecuritySchemes = openapi3.SecuritySchemes{
		"certificate": {Value: &openapi3.SecurityScheme{Type: "apiKey", In: "header", Name: "X-Client-Certificate",
			Description: "A client certificate of the operator, shown in TLS. No header is sent: OpenAPI 3.0 has no word for mutual TLS."}},
		"token": {Value: openapi3.NewJWTSecurityScheme()},
	}
	doc.Security = openapi3.SecurityRequirements{{"certificate": {}}, {"token": {}}}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Summary != "" && operation.Description == "" {
				operation.Description = operation.Summary
			}
			operation.Summary = strings.TrimSuffix(strings.SplitN(operation.OperationID, "_", 2)[0], "Service")
			if method == "POST" {
				operation.AddParameter(&openapi3.Parameter{
					Name: "Idempotency-Key", In: "header", Schema: openapi3.NewSchemaRef("", openapi3.NewStringSchema().WithMaxLength(200)),
					Description: "A key of the caller's choice: repeating the request with it answers what the first answered. Of no effect where nothing is written.",
				})
			}
			if fault := operation.Responses.Default(); fault != nil && fault.Value != nil {
				text := "google.rpc.Status. 429 and 503 come with Retry-After where it is known when to try again."
				fault.Value.Description = &text
			}
		}
		_ = path
	}
}
