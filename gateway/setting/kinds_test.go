package setting_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/gateway/setting"
)

func TestSizesRead(t *testing.T) {
	for text, want := range map[string]setting.Bytes{
		"64MiB": 64 << 20, "1 GiB": 1 << 30, "2GB": 2e9, "512": 512, "0": 0, "1.5KiB": 1536, "7B": 7, "8k": 8000,
	} {
		var got setting.Bytes
		require.NoError(t, got.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "MiB", "-1MiB", "64 parsecs", "1e40", "9EiB", "0x10"} {
		var got setting.Bytes
		require.ErrorContains(t, got.UnmarshalText([]byte(text)), "is no size: write it such as 64MiB", text)
	}
}

func TestSizesReadBackWhatTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := setting.Bytes(rapid.Int64Range(0, 1<<50).Draw(t, "bytes"))
		var got setting.Bytes
		require.NoError(t, got.UnmarshalText([]byte(want.String())))
		require.Equal(t, want, got)
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	const hidden = "hunter2"
	secret := setting.Secret(hidden)
	require.Equal(t, hidden, secret.Reveal())
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "in", struct{ S setting.Secret }{secret})
	encoded, err := json.Marshal(map[string]any{"s": secret})
	require.NoError(t, err)
	for _, printed := range []string{
		fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret),
		fmt.Sprintf("%+v %#v", struct{ S setting.Secret }{secret}, struct{ S setting.Secret }{secret}), log.String(), string(encoded),
	} {
		require.NotContains(t, printed, hidden)
		require.Contains(t, printed, "redacted")
	}
	require.Empty(t, setting.Secret("").String())
}
