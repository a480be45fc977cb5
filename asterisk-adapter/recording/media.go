package recording

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
)

// linearRates are the formats of Asterisk without a header: 16-bit samples, the
// lower byte first, of that many hertz.
var linearRates = map[string]int{
	".raw": 8000, ".sln": 8000, ".sln12": 12000, ".sln16": 16000, ".sln24": 24000, ".sln32": 32000,
	".sln44": 44100, ".sln48": 48000, ".sln96": 96000, ".sln192": 192000,
}

// extensions are those of the formats that Asterisk records in.
var extensions = map[string]bool{
	".wav": true, ".wav49": true, ".wav16": true, ".gsm": true, ".ulaw": true, ".ul": true, ".mu": true, ".pcm": true,
	".alaw": true, ".al": true, ".g722": true, ".g729": true, ".g726": true, ".ilbc": true, ".siren7": true, ".siren14": true,
	".au": true, ".ogg": true, ".opus": true,
}

// IsAudio says whether a file is called like a recording of Asterisk's.
func IsAudio(name string) bool {
	extension := strings.ToLower(filepath.Ext(name))
	return extensions[extension] || linearRates[extension] > 0
}

// mediaType covers the formats Asterisk writes. The headerless ones can only be
// told by name.
func mediaType(head []byte, name string) string {
	if bytes.HasPrefix(head, []byte("OggS")) {
		return "audio/ogg"
	}
	extension := strings.ToLower(filepath.Ext(name))
	if rate := linearRates[extension]; rate > 0 {
		// audio/L16 would be a lie: its samples have the higher byte first (RFC 3551
		// §4.5.11). No registered type says the other way round.
		return "audio/x-s16le;rate=" + strconv.Itoa(rate)
	}
	switch extension {
	case ".gsm":
		return "audio/gsm"
	case ".ulaw", ".ul", ".mu", ".pcm":
		return "audio/PCMU"
	case ".alaw", ".al":
		return "audio/PCMA"
	case ".g722":
		return "audio/G722"
	}
	return http.DetectContentType(head)
}

// Headerless says of a media type that the file tells nothing of its channels.
func Headerless(mediaType string) bool { return strings.HasPrefix(mediaType, "audio/x-s16le;") }

// WithChannels adds to a headerless media type how many channels there are, where
// something else tells that.
func WithChannels(mediaType string, channels int) string {
	if !Headerless(mediaType) {
		return mediaType
	}
	return fmt.Sprintf("%s;channels=%d", mediaType, channels)
}

// TrackOf is the ledger's word for the word in a file's name: "" where it means none
// of them.
func TrackOf(word string) string {
	switch word {
	case "received", "receive", "in", "rx":
		return ledger.TrackReceived
	case "transmitted", "transmit", "out", "tx":
		return ledger.TrackTransmitted
	case "stereo":
		return ledger.TrackStereo
	}
	return ""
}

// ParseName reads what a file's name tells by DefaultNames: of which channel it is, and
// the word for which voices are on it. Either may be empty.
func ParseName(path string) (uniqueID, word string) { return parse(DefaultNames, path) }

func parse(names []*regexp.Regexp, path string) (uniqueID, word string) {
	for _, pattern := range names {
		if m := pattern.FindStringSubmatch(filepath.Base(path)); m != nil {
			if i := pattern.SubexpIndex("track"); i >= 0 {
				word = strings.ToLower(m[i])
			}
			return m[pattern.SubexpIndex("uniqueid")], word
		}
	}
	return "", ""
}
