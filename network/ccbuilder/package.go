package ccbuilder

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// Type marks packages this builder takes.
const Type = "callseal"

// addressFile is the one file of a package's code part.
const addressFile = "connection.json"

// metadata is a package's metadata.json.
type metadata struct {
	Type  string `json:"type"`
	Label string `json:"label"`
}

// connection is a package's connection.json.
type connection struct {
	Address string `json:"address"`
}

// Package is a chaincode package as a peer installs it.
type Package struct {
	// ID is label:sha256, the id Fabric gives the package.
	ID string
	// Content is the package itself, a gzipped tar.
	Content []byte
}

// Pack makes the package of a chaincode service at an address (host:port). The
// same label and address give the same bytes and therefore the same id.
func Pack(label, address string) (Package, error) {
	where, err := json.Marshal(connection{Address: address})
	if err != nil {
		return Package{}, fmt.Errorf("encode the chaincode's address: %w", err)
	}
	what, err := json.Marshal(metadata{Type: Type, Label: label})
	if err != nil {
		return Package{}, fmt.Errorf("encode the package's metadata: %w", err)
	}
	code, err := archive(entry{addressFile, where})
	if err != nil {
		return Package{}, err
	}
	content, err := archive(entry{"metadata.json", what}, entry{"code.tar.gz", code})
	if err != nil {
		return Package{}, err
	}
	return Package{ID: fmt.Sprintf("%s:%x", label, sha256.Sum256(content)), Content: content}, nil
}

type entry struct {
	name    string
	content []byte
}

// archive packs files without times or owners, so that equal files give equal
// archives.
func archive(entries ...entry) ([]byte, error) {
	var packed bytes.Buffer
	compressor := gzip.NewWriter(&packed)
	writer := tar.NewWriter(compressor)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.name, err)
		}
		if _, err := writer.Write(e.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("finish package: %w", err)
	}
	if err := compressor.Close(); err != nil {
		return nil, fmt.Errorf("compress package: %w", err)
	}
	return packed.Bytes(), nil
}
