package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"
)

// Options says how an Asterisk is started. The zero value is a good one.
type Options struct {
	// Dir is the run directory: configuration, spool, logs. It is made when
	// missing and kept by Stop; started there again, Asterisk finds its old
	// CSV. Empty means a temporary one that Stop removes.
	Dir string
	// Loopback is Asterisk's address, 127.x.y.1; its phones use the rest of
	// that /24. Empty means a free one, so that labs can run side by side.
	Loopback string
	// Timezone is an IANA name; empty means the machine's own. Asterisk reads
	// /etc/localtime and nothing else, so another zone takes a mount namespace
	// of its own, which InOtherZones says whether there can be.
	Timezone string
	// Clock lets the test set Asterisk's wall clock, by SetClock; its other clocks run
	// on. It takes libfaketime.
	Clock bool
	// LocalTimes writes the CSV in the PBX's zone instead of UTC.
	LocalTimes bool
	// Table is a table of CDRs in MariaDB that Asterisk writes to; nil means none.
	Table *Table
	// NoCSV, NoAMI and NoARI leave that source out.
	NoCSV, NoAMI, NoARI bool
	// Modules are loaded beside those that a recorded call needs.
	Modules []string
	// Phones are the numbers of more phones than those that every lab has.
	Phones []string
	// Consent adds what asking for consent and pausing recordings take: pbx's dialplan,
	// keys and accounts for it.
	Consent bool
	// Files replaces or adds files of Asterisk's configuration folder.
	Files map[string]string
	// CalleeHz is the tone the answering phone talks in; 0 means 880.
	CalleeHz int
	// Verbose sets Asterisk's own verbosity for its log (0 to 10).
	Verbose int
}

// Default tones, in hertz: far apart, and 880 is a harmonic no µ-law
// distortion of 440 can fake at that level.
const (
	CallerHz = 440
	CalleeHz = 880
)

// freeLoopback returns an address 127.x.y.1 on which nobody has SIP, AMI or
// HTTP open.
func freeLoopback(ctx context.Context) (string, error) {
	for range 50 {
		var b [2]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", err
		}
		ip := fmt.Sprintf("127.%d.%d.1", 20+int(b[0])%200, b[1])
		if free(ctx, ip) {
			return ip, nil
		}
	}
	return "", errors.New("no free loopback address after 50 tries: is another program listening on all of them?")
}

func free(ctx context.Context, ip string) bool {
	var config net.ListenConfig
	udp, err := config.ListenPacket(ctx, "udp4", net.JoinHostPort(ip, sipPort))
	if err != nil {
		return false
	}
	defer udp.Close() //nolint:errcheck // nothing was sent
	for _, port := range []string{amiPort, ariPort} {
		tcp, err := config.Listen(ctx, "tcp4", net.JoinHostPort(ip, port))
		if err != nil {
			return false
		}
		defer tcp.Close() //nolint:errcheck // nobody connected
	}
	return true
}

const (
	sipPort  = "5060"
	sipsPort = "5061"
	amiPort  = "5038"
	ariPort  = "8088"
	// bootLimit is many times what a boot takes on a busy machine.
	bootLimit = 60 * time.Second
)
