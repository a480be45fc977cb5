package lab

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed scenarios/*.xml scenarios/parts/*.xml
var scenarios embed.FS

// address of the host n of the lab's /24.
func (a *Asterisk) host(n int) string {
	return fmt.Sprintf("%s.%d", a.ip[:strings.LastIndexByte(a.ip, '.')], n)
}

// Each phone that waits for calls has an address of its own.
var callees = map[string]struct {
	host     int
	scenario string
}{
	Answers:   {3, "callee-answers"},
	Busy:      {4, "callee-refuses"},
	Rings:     {5, "callee-rings"},
	RingsLong: {6, "callee-rings"},
	Early:     {11, "callee-early"},
	Forwards:  {12, "callee-forwards"},
	Second:    {13, "callee-answers"},
	Transfers: {14, "callee-transfers"},
	Gone:      {15, "callee-refuses"},
	Failing:   {16, "callee-refuses"},
}

// refusals are the statuses of phones that refuse.
var refusals = map[string]string{Busy: "486 Busy Here", Gone: "404 Not Found", Failing: "503 Service Unavailable"}

// forwards says where phones send their calls.
var forwards = map[string]string{Forwards: Answers, Transfers: Second}

const callerHost = 2

// The trace is read as UTC, whatever zone Asterisk is in.
var sippEnv = []string{"TZ=UTC0", "LC_ALL=C", "TERM=dumb"}

// RegisterPhones starts the phones that wait for calls and registers all
// phones with their passwords.
func (a *Asterisk) RegisterPhones(ctx context.Context) error {
	calleeHz := a.opts.CalleeHz
	if calleeHz == 0 {
		calleeHz = CalleeHz
	}
	stream, err := a.stream(ctx, mediaOf(Answers), calleeHz)
	if err != nil {
		return err
	}
	waiting := slices.DeleteFunc(a.phones(), func(number string) bool { return callees[number].scenario == "" })
	for _, number := range waiting {
		phone := callees[number]
		scenario, err := a.scenario(phone.scenario, "STREAM", stream, "OFFER", mediaOf(number).offer, "STATUS", refusals[number], "FORWARD", forwards[number], "ASTERISK", a.ip)
		if err != nil {
			return err
		}
		argv := a.sippArgs(phone.host, scenario)
		proc, err := startProcess(argv, sippEnv, a.path("sipp"), a.path("sipp", "phone-"+number+".log"))
		if err != nil {
			return err
		}
		a.sipps = append(a.sipps, proc)
	}
	for _, number := range waiting {
		if err := a.answersOptions(ctx, a.host(callees[number].host)); err != nil {
			return fmt.Errorf("phone %s does not answer: %w", number, err)
		}
	}

	var users strings.Builder
	users.WriteString("SEQUENTIAL\n")
	registered := slices.DeleteFunc(a.phones(), func(number string) bool { return number == Secure || number == Absent })
	for _, number := range registered {
		host := callerHost
		if phone, ok := callees[number]; ok {
			host = phone.host
		}
		fmt.Fprintf(&users, "%s;[authentication username=%s password=%s];%s:%s\n", number, number, a.secret, a.host(host), sipPort)
	}
	inf := a.path("sipp", "register.csv")
	if err := os.WriteFile(inf, []byte(users.String()), 0o600); err != nil {
		return err
	}
	scenario, err := a.scenario("register")
	if err != nil {
		return err
	}
	argv := append(a.sippArgs(callerHost, scenario), "-inf", inf, "-m", strconv.Itoa(len(registered)), "-timeout", "20s", "-timeout_error", "-r", "100", a.ip+":"+sipPort)
	proc, err := startProcess(argv, sippEnv, a.path("sipp"), a.path("sipp", "register.log"))
	if err != nil {
		return err
	}
	if err := proc.wait(ctx); err != nil {
		return fmt.Errorf("register phones: %w (see %s)", err, a.path("sipp", "register.log"))
	}
	return nil
}

func (a *Asterisk) stopPhones() {
	for _, p := range a.sipps {
		p.kill() // SIPp would wait for its calls
	}
	a.sipps = nil
}

// sippArgs is the command line every SIPp here shares.
func (a *Asterisk) sippArgs(host int, scenario string) []string {
	ip := a.host(host)
	return append(a.inst.sipp[:len(a.inst.sipp):len(a.inst.sipp)],
		"-sf", scenario, "-i", ip, "-mi", ip, "-p", sipPort, "-min_rtp_port", "20000", "-max_rtp_port", "29999",
		"-nostdin", "-aa", "-trace_err", "-error_file", scenario+".errors")
}

// scenario writes an embedded scenario, with words replaced, into the run
// directory and returns its path.
func (a *Asterisk) scenario(name string, replace ...string) (string, error) {
	content, err := readScenario(name)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(a.path("sipp"), name+"-*.xml")
	if err != nil {
		return "", err
	}
	_, err = strings.NewReplacer(replace...).WriteString(file, content)
	return file.Name(), errors.Join(err, file.Close())
}

var include = regexp.MustCompile(`<include part="([a-z]+)"/>\n`)

// readScenario reads an embedded scenario with the parts that it includes.
func readScenario(name string) (string, error) {
	content, err := scenarios.ReadFile("scenarios/" + name + ".xml")
	if err != nil {
		return "", err
	}
	var errs []error
	whole := include.ReplaceAllStringFunc(string(content), func(line string) string {
		part, err := readScenario("parts/" + include.FindStringSubmatch(line)[1])
		errs = append(errs, err)
		return part
	})
	return whole, errors.Join(errs...)
}

// answersOptions returns when a phone answers OPTIONS (RFC 3261 §11).
func (a *Asterisk) answersOptions(ctx context.Context, ip string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(a.host(10))}, &net.UDPAddr{IP: net.ParseIP(ip), Port: 5060})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the phone does not mind
	local := conn.LocalAddr().String()
	buf := make([]byte, 2048)
	for n := 1; ctx.Err() == nil; n++ {
		ask := fmt.Sprintf("OPTIONS sip:phone@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKready%d\r\nFrom: <sip:lab@%s>;tag=ready\r\nTo: <sip:phone@%s>\r\nCall-ID: ready-%d@%s\r\nCSeq: %d OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", ip, local, n, local, ip, n, local, n)
		_, _ = conn.Write([]byte(ask)) // refused until the phone is there
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := conn.Read(buf); err == nil {
			return nil
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			select { // a refused port answers at once
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return ctx.Err()
}

// users writes the caller's line of a SIPp injection file.
func (a *Asterisk) users(path string, call Call) error {
	line := fmt.Sprintf("SEQUENTIAL\n%s;[authentication username=%s password=%s];%s\n", call.From, call.From, a.secret, call.To)
	return os.WriteFile(path, []byte(line), 0o600)
}

// displayName quotes a name for a From header (RFC 3261 §25.1). Brackets mean
// something to SIPp, and a line end to SIP.
func displayName(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if strings.ContainsAny(name, "[]\r\n") {
		return "", errors.New("a display name with brackets or a line end cannot be sent by SIPp")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" `, nil
}
