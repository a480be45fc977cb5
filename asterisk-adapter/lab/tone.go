package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// media is what a phone speaks.
type media struct {
	// asterisk is the codec's name in pjsip.conf, and as the ending of a file.
	asterisk string
	// payload is the RTP payload type (RFC 3551 §6), and name its name to SIPp.
	payload int
	name    string
	// hz is the sampling rate; G.722's is twice what its name says.
	hz int
	// offer are the lines of SDP.
	offer string
}

// sdes is how SIPp offers and reads SRTP's keys (RFC 4568).
const sdes = "a=crypto:[cryptotag1audio] [cryptosuiteaescm128sha1801audio] inline:[cryptokeyparams1audio]"

func mediaOf(phone string) media {
	m := media{asterisk: "ulaw", payload: 0, name: "PCMU/8000", hz: 8000}
	switch phone {
	case ALaw:
		m = media{asterisk: "alaw", payload: 8, name: "PCMA/8000", hz: 8000}
	case Wide:
		m = media{asterisk: "g722", payload: 9, name: "G722/8000", hz: 16000}
	}
	profile := "RTP/AVP"
	if phone == Secure {
		profile = "RTP/SAVP"
	}
	m.offer = fmt.Sprintf("m=audio [rtpstream_audio_port] %s %d\na=rtpmap:%[2]d %s\na=ptime:20", profile, m.payload, m.name)
	if phone == Secure {
		m.offer += "\n" + sdes
	}
	return m
}

// stream has SIPp play a tone for ever.
func (a *Asterisk) stream(ctx context.Context, m media, hz int) (string, error) {
	path, err := a.tone(ctx, m, hz)
	return fmt.Sprintf("%s,-1,%d,%s", path, m.payload, m.name), err
}

// tone writes one second of a sine as a phone sends it, raw, and returns its path. A
// whole number of hertz makes it loop without a click. What is not µ-law Asterisk
// encodes.
func (a *Asterisk) tone(ctx context.Context, m media, hz int) (string, error) {
	if hz < 100 || hz > 3400 {
		return "", fmt.Errorf("a telephone carries 100 to 3400 Hz, not %d", hz)
	}
	name := a.path("sipp", fmt.Sprintf("tone-%d", hz))
	if m.asterisk == "ulaw" {
		samples := make([]byte, m.hz)
		for n := range samples {
			samples[n] = muLaw(sine(n, hz, m.hz))
		}
		return name + ".ul", a.putTone(name+".ul", samples)
	}
	linear := make([]byte, 0, 2*m.hz)
	for n := range m.hz {
		linear = binary.LittleEndian.AppendUint16(linear, uint16(sine(n, hz, m.hz))) //nolint:gosec // the same bits
	}
	raw := name + map[int]string{8000: ".sln", 16000: ".sln16"}[m.hz]
	if err := os.WriteFile(raw, linear, 0o600); err != nil {
		return "", err
	}
	encoded := name + "." + m.asterisk
	if out, err := a.Command(ctx, "file convert "+raw+" "+encoded); err != nil {
		return "", err
	} else if _, err := os.Stat(encoded); err != nil {
		return "", fmt.Errorf("Asterisk could not encode a tone (it needs res_convert and the codec): %s", out)
	}
	return encoded, nil
}

// putTone puts a tone's file in its place whole: another phone may read it at this
// moment.
func (a *Asterisk) putTone(path string, samples []byte) error {
	file, err := os.CreateTemp(a.path("sipp"), "tone-*")
	if err != nil {
		return err
	}
	_, err = file.Write(samples)
	return errors.Join(err, file.Close(), os.Rename(file.Name(), path))
}

func sine(n, hz, rate int) int16 {
	return int16(8000 * math.Sin(2*math.Pi*float64(hz)*float64(n)/float64(rate)))
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
