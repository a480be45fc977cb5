package ari

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// Endpoint is one of Asterisk's endpoints: a phone, a trunk.
type Endpoint struct {
	Technology string `json:"technology"`
	Resource   string `json:"resource"`
	// State is "online" where it can be reached, as far as Asterisk knows.
	State string `json:"state"`
}

// Endpoints are all endpoints.
func (o *Observer) Endpoints(ctx context.Context) ([]Endpoint, error) {
	var found []Endpoint
	_, err := o.get(ctx, "/endpoints", &found)
	return found, err
}

// AORs are the names of a PJSIP endpoint's addresses of record.
func (o *Observer) AORs(ctx context.Context, endpoint string) ([]string, error) {
	return o.configured(ctx, "endpoint", endpoint, "aors")
}

// Contacts are the addresses under which a PJSIP address of record can be reached now:
// those that registered, and those of its configuration.
func (o *Observer) Contacts(ctx context.Context, aor string) ([]string, error) {
	return o.configured(ctx, "aor", aor, "contact")
}

// configured is a list that an attribute of an object of PJSIP's holds; empty where there
// is no such object.
func (o *Observer) configured(ctx context.Context, kind, id, attribute string) ([]string, error) {
	var attributes []struct{ Attribute, Value string }
	if _, err := o.get(ctx, "/asterisk/config/dynamic/res_pjsip/"+kind+"/"+url.PathEscape(id), &attributes); err != nil {
		return nil, err
	}
	for _, one := range attributes {
		if one.Attribute != attribute {
			continue
		}
		values := strings.Split(one.Value, ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		return slices.DeleteFunc(values, func(value string) bool { return value == "" }), nil
	}
	return nil, nil
}
