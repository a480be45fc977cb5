package ccbuilder

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// TLSVariable names the environment variable with the folder in which the peer
// keeps cert.pem and key.pem, which it shows the chaincode service, and ca.pem,
// by which it knows the service.
const TLSVariable = "CALLSEAL_CHAINCODE_TLS"

// ErrNotOurs says that a package is of another type than this builder's, the
// answer by which a peer goes on to its next builder.
var ErrNotOurs = errors.New("this package is not for Callseal's builder")

// Run performs one step by its name: "detect" with the source and metadata
// folders, "build" with those and the output folder, "release" with the build
// output and release folders.
func Run(step string, folders []string) error {
	want := map[string]int{"detect": 2, "build": 3, "release": 2}[step]
	switch {
	case want == 0:
		return fmt.Errorf("the builder has no step %q: it has detect, build and release", step)
	case len(folders) != want:
		return fmt.Errorf("the builder's step %s takes %d folders and was given %d", step, want, len(folders))
	}
	switch step {
	case "detect":
		return Detect(folders[1])
	case "build":
		return Build(folders[0], folders[2])
	default:
		return Release(folders[0], folders[1], os.Getenv(TLSVariable))
	}
}

// Detect says whether the package with this metadata folder is for this
// builder: nil, [ErrNotOurs], or why the metadata cannot be read.
func Detect(metadataFolder string) error {
	content, err := os.ReadFile(filepath.Join(metadataFolder, "metadata.json"))
	if err != nil {
		return fmt.Errorf("read the package's metadata: %w", err)
	}
	var m metadata
	if err := json.Unmarshal(content, &m); err != nil {
		return fmt.Errorf("the package's metadata is not JSON: %w", err)
	}
	if m.Type != Type {
		return ErrNotOurs
	}
	return nil
}

// Build checks the address in a package's source folder and carries it to the
// output folder.
func Build(source, output string) error {
	where, err := readAddress(source)
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(output, addressFile), where)
}

// Release writes what the peer needs to dial the service into the release
// folder: the address and, from tlsFolder, the peer's own certificate and key
// and the authority of the service's.
func Release(buildOutput, release, tlsFolder string) error {
	where, err := readAddress(buildOutput)
	if err != nil {
		return err
	}
	if tlsFolder == "" {
		return fmt.Errorf("%s is not set: the peer must name the folder with its chaincode certificate", TLSVariable)
	}
	var material [3]string
	for i, name := range []string{"cert.pem", "key.pem", "ca.pem"} {
		content, err := os.ReadFile(filepath.Join(tlsFolder, name))
		if err != nil {
			return fmt.Errorf("the peer's chaincode certificate: %w", err)
		}
		if !strings.Contains(string(content), "-----BEGIN ") {
			return fmt.Errorf("%s is not PEM", filepath.Join(tlsFolder, name))
		}
		material[i] = string(content)
	}
	folder := filepath.Join(release, "chaincode", "server")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the release folder: %w", err)
	}
	return writeJSON(filepath.Join(folder, addressFile), map[string]any{
		"address":              where.Address,
		"dial_timeout":         "5s",
		"tls_required":         true,
		"client_auth_required": true,
		"client_cert":          material[0],
		"client_key":           material[1],
		"root_cert":            material[2],
	})
}

func readAddress(folder string) (connection, error) {
	content, err := os.ReadFile(filepath.Join(folder, addressFile))
	if err != nil {
		return connection{}, fmt.Errorf("read the chaincode's address: %w", err)
	}
	var where connection
	if err := json.Unmarshal(content, &where); err != nil {
		return connection{}, fmt.Errorf("%s is not JSON: %w", addressFile, err)
	}
	if _, port, err := net.SplitHostPort(where.Address); err != nil || port == "" {
		return connection{}, fmt.Errorf("the chaincode's address %q is not host:port", where.Address)
	}
	return where, nil
}

func writeJSON(file string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(file), err)
	}
	// The released file holds a key.
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	return nil
}
