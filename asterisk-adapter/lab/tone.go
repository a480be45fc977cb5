package lab

import (
	"fmt"
	"math"
	"os"
)

// tone writes one second of a sine as raw µ-law at 8 kHz and returns its path.
// A whole number of hertz makes it loop without a click.
func (a *Asterisk) tone(hz int) (string, error) {
	if hz < 100 || hz > 3400 {
		return "", fmt.Errorf("a telephone carries 100 to 3400 Hz, not %d", hz)
	}
	path := a.path("sipp", fmt.Sprintf("tone-%d.ul", hz))
	samples := make([]byte, 8000)
	for n := range samples {
		samples[n] = muLaw(int16(8000 * math.Sin(2*math.Pi*float64(hz)*float64(n)/8000)))
	}
	return path, os.WriteFile(path, samples, 0o600)
}

// muLaw encodes one 16-bit sample (ITU-T G.711).
func muLaw(sample int16) byte {
	const bias, clip = 0x84, 32635
	s, sign := int(sample), byte(0)
	if s < 0 {
		s, sign = -s, 0x80
	}
	s = min(s, clip) + bias
	exponent := 7
	for mask := 0x4000; s&mask == 0 && exponent > 0; mask >>= 1 {
		exponent--
	}
	mantissa := byte(s >> (exponent + 3) & 0x0f)
	return ^(sign | byte(exponent)<<4 | mantissa) //nolint:gosec // 0 to 7
}
