package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// registrarHost is the host, of the lab's /24, that Register registers from.
const registrarHost = 9

// Register registers a phone's account for a while, with its password, as from a phone at
// host n of the lab's /24. Asterisk keeps accounts for a minute at least unless
// minimum_expiration says otherwise.
func (a *Asterisk) Register(ctx context.Context, account string, host int, lasts time.Duration) error {
	scenario, err := a.scenario("register-once", "EXPIRES", strconv.Itoa(int(lasts.Seconds())))
	if err != nil {
		return err
	}
	inf := scenario + ".csv"
	line := fmt.Sprintf("SEQUENTIAL\n%s;[authentication username=%s password=%s];%s:%s\n", account, account, a.secret, a.host(host), sipPort)
	if err := os.WriteFile(inf, []byte(line), 0o600); err != nil {
		return err
	}
	argv := append(a.sippArgs(registrarHost, scenario), "-inf", inf, "-m", "1", "-timeout", "20s", "-timeout_error", a.ip+":"+sipPort)
	proc, err := startProcess(argv, sippEnv, a.path("sipp"), scenario+".log")
	if err != nil {
		return err
	}
	if err := proc.wait(ctx); err != nil {
		return fmt.Errorf("register %s: %w (see %s)", account, err, scenario+".log")
	}
	return nil
}
