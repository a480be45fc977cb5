package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/callseal/callseal/asterisk-adapter/device"
	"github.com/callseal/callseal/chaincode/ledger"
)

// devicesFile, in the state folder, holds the devices in clear, for the person at the
// PBX. Nobody else may read it.
const devicesFile = "devices.json"

// Devices are the devices of a PBX as the adapter saw them last.
type Devices struct {
	At      time.Time       `json:"at"`
	Devices []device.Device `json:"devices"`
}

// newDeviceWatch makes what compares the PBX's devices with the ledger's.
func (a *Adapter) newDeviceWatch() (*device.Watch, error) {
	told, err := a.journal.Strangers()
	if err != nil {
		return nil, err
	}
	book := device.NewBook(a.config.Devices.Domain, a.view, told)
	a.metrics.registry.MustRegister(&judged{book: book, devices: prometheus.NewDesc("callseal_adapter_devices", "Devices that the PBX can reach, by the ledger's verdict.", []string{"verdict"}, nil)})
	return device.NewWatch(book, a.observer, device.Handler{
		Reported: a.reportDevice,
		Called: func(uniqueID string, stranger device.Report) {
			a.metrics.strangersCalls.WithLabelValues(stranger.Verdict).Inc()
			a.log.Error("a device that is not in good standing on the ledger has a call", "uniqueid", uniqueID, "device", stranger.Ref, "verdict", stranger.Verdict, "consequence", stranger.Consequence)
		},
		Changed: func(all []device.Device) {
			if err := a.config.keepDevices(all); err != nil {
				a.log.Warn("the list of devices cannot be kept", "error", err)
			}
		},
	}, a.log), nil
}

// reportDevice tells of a device once for each verdict. A crash between the log and the
// journal tells it twice.
func (a *Adapter) reportDevice(report device.Report) error {
	log := a.log.With("device", report.Ref, "verdict", report.Verdict, "consequence", report.Consequence, "before", report.Before)
	if !device.Stranger(report.Verdict) {
		log.Info("a device that was reported is in good standing on the ledger now")
		return a.journal.SetStranger(report.AOR, "")
	}
	a.metrics.strangers.WithLabelValues(report.Verdict).Inc()
	if report.Verdict == ledger.VerdictUnregistered {
		log.Error("a device is registered with the PBX and not on the ledger: register it there, or take its account away")
	} else {
		log.Error("a device is registered with the PBX that may not call by the ledger: take its account away, or reinstate it there")
	}
	return a.journal.SetStranger(report.AOR, report.Verdict)
}

func (c *Config) keepDevices(all []device.Device) error {
	text, err := json.Marshal(Devices{At: time.Now().UTC(), Devices: all}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode the devices: %w", err)
	}
	return renameio.WriteFile(filepath.Join(c.StateDir, devicesFile), append(text, '\n'), 0o600)
}

// ReadDevices answers the devices as the adapter saw them last, in clear. Run it as the
// adapter's user.
func ReadDevices(config *Config) (*Devices, error) {
	if config.Devices.Domain == "" {
		return nil, errors.New("devices.domain is not set: the adapter does not compare the PBX's devices with the ledger's")
	}
	text, err := os.ReadFile(filepath.Join(config.StateDir, devicesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the adapter has seen no device yet: does it run, and is Asterisk there?")
	}
	if err != nil {
		return nil, fmt.Errorf("read the devices: %w", err)
	}
	var found Devices
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("read the devices: %w", err)
	}
	return &found, nil
}

// stranger is one on the page /devices: nothing of it is personal.
type stranger struct {
	Device      string    `json:"device"`
	Verdict     string    `json:"verdict"`
	Consequence string    `json:"consequence"`
	Since       time.Time `json:"since"`
}

// showDevices answers how many devices there are by verdict, and which are strangers.
func (a *Adapter) showDevices(out http.ResponseWriter, _ *http.Request) {
	all := a.devices.List()
	page := struct {
		Count     map[string]int `json:"count"`
		Strangers []stranger     `json:"strangers"`
	}{a.devices.Count(), []stranger{}}
	for _, one := range all {
		if device.Stranger(one.Verdict) {
			page.Strangers = append(page.Strangers, stranger{one.Ref, one.Verdict, one.Consequence, one.Since})
		}
	}
	out.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(out, page, json.Deterministic(true)) // whoever asked is gone
}

// judged are a book's figures, read when they are asked for.
type judged struct {
	book    *device.Book
	devices *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (j *judged) Describe(out chan<- *prometheus.Desc) { out <- j.devices }

// Collect implements prometheus.Collector.
func (j *judged) Collect(out chan<- prometheus.Metric) {
	count := j.book.Count()
	for _, verdict := range []string{ledger.VerdictRegistered, ledger.VerdictSuspended, ledger.VerdictRevoked, ledger.VerdictExpired, ledger.VerdictUnregistered} {
		out <- prometheus.MustNewConstMetric(j.devices, prometheus.GaugeValue, float64(count[verdict]), verdict)
	}
}
