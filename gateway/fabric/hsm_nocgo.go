//go:build !cgo

package fabric

import "errors"

// openToken refuses: PKCS #11 modules are C libraries.
func openToken(PKCS11Config) (hardwareKey, error) {
	return nil, errors.New("this gateway was built without cgo and cannot use a hardware security module: build it with CGO_ENABLED=1, or use key_file")
}
