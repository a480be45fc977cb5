package adapter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/conf"
	"github.com/callseal/callseal/asterisk-adapter/conversation"
)

// Verdict says how one thing is.
type Verdict string

// The verdicts.
const (
	// Right is as it should be.
	Right Verdict = "ok"
	// Better would be better otherwise: nothing is lost as it is.
	Better Verdict = "better"
	// Wrong must be changed: records or recordings would be missed.
	Wrong Verdict = "change"
)

// Finding is one thing that was looked at.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	// Where is a file's line, such as "cdr.conf:12", or what was asked.
	Where string `json:"where"`
	// Found is how it is.
	Found string `json:"found"`
	// Change is what to do; empty where it is right.
	Change string `json:"change,omitempty"`
}

// examineFor bounds each question to something that runs.
const examineFor = 5 * time.Second

// Examine looks at an Asterisk's or FreePBX's configuration in its folder
// (/etc/asterisk), at what runs, and at the way to the gateway, and says line by line
// what to change for this adapter's configuration. It changes nothing.
func Examine(ctx context.Context, config *Config, folder string) []Finding {
	e := &examination{config: config, folder: folder, freePBX: isFreePBX(folder)}
	e.modulesConf()
	e.cdrConf()
	e.managerConf()
	e.tableConf()
	e.ariConf()
	e.controlConf()
	e.consentConf()
	e.folders()
	e.disks()
	e.watches()
	e.clock()
	e.running(ctx)
	e.gateway(ctx)
	return e.findings
}

type examination struct {
	config *Config
	folder string
	// freePBX says that FreePBX writes the files.
	freePBX  bool
	findings []Finding
}

func (e *examination) add(verdict Verdict, where, found, change string) {
	e.findings = append(e.findings, Finding{verdict, where, found, change})
}

// read reads one of Asterisk's files; nil where it cannot be, which is found.
func (e *examination) read(name, why string) *conf.Config {
	file, err := conf.Read(e.folder, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add(Wrong, name, "it is not in "+e.folder, why)
		return nil
	case errors.Is(err, fs.ErrPermission):
		e.add(Wrong, name, "it cannot be read", "run the examination as a user who may read "+e.folder)
		return nil
	case err != nil:
		e.add(Wrong, name, err.Error(), "mend the file")
		return nil
	}
	for _, line := range file.Unread {
		e.add(Better, line.Place(), fmt.Sprintf("%s %s was not followed", line.Key, line.Value), "look there too")
	}
	return file
}

// wish is how a setting should be.
type wish struct {
	section, key string
	// value is what is wished; other is what Asterisk does where nothing is said.
	value, other string
	verdict      Verdict // where it is not so
	why          string
}

// wants compares a file with wishes. Yes and no have many words.
func (e *examination) wants(file *conf.Config, wishes ...wish) {
	for _, w := range wishes {
		line, found := file.Get(w.section, w.key)
		where := line.Place()
		if !found {
			where, line.Value = file.Name, w.other
		}
		said := fmt.Sprintf("[%s] %s = %s", w.section, w.key, line.Value)
		if !found {
			said = fmt.Sprintf("[%s] says nothing of %s, which means %s", w.section, w.key, w.other)
		}
		if same(line.Value, w.value) {
			e.add(Right, where, said, "")
			continue
		}
		e.add(w.verdict, where, said, fmt.Sprintf("set %s = %s in %s: %s", w.key, w.value, e.where(file.Name, w.section), w.why))
	}
}

func same(value, wished string) bool {
	if wished == "yes" || wished == "no" {
		return conf.True(value) == (wished == "yes")
	}
	return strings.EqualFold(value, wished)
}

func (e *examination) cdrConf() {
	file := e.read("cdr.conf", "copy it from asterisk-adapter/pbx")
	if file == nil {
		return
	}
	e.wants(file,
		wish{"general", "enable", "yes", "yes", Wrong, "there are no records without it"},
		wish{"general", "batch", "no", "no", Wrong, "a crash loses the records that wait in memory"},
		wish{"general", "endbeforehexten", "yes", "no", Wrong, "otherwise the hang-up handlers become a second record of the call"},
		wish{"general", "canceldispositionenabled", "yes", "no", Better, "a caller who gave up is then CANCEL and not NO ANSWER"},
	)
	if e.config.CDR.CSV == "" {
		return
	}
	utc, times := "yes", "cdr.local_times is false in the adapter's configuration; change that, or this"
	if e.config.CDR.LocalTimes {
		utc, times = "no", "cdr.local_times is true in the adapter's configuration; change that, or this"
	}
	e.wants(file,
		wish{"csv", "loguniqueid", "yes", "no", Wrong, "without uniqueid a record cannot be told from others"},
		wish{"csv", "newcdrcolumns", "yes", "no", Wrong, "without linkedid and sequence a record cannot be told from others"},
		wish{"csv", "loguserfield", "yes", "no", Better, "the userfield is then proven too"},
		wish{"csv", "usegmtime", utc, "no", Wrong, times},
	)
}

func (e *examination) managerConf() {
	if e.config.AMI == nil {
		return
	}
	if file := e.read("cdr_manager.conf", "copy it from asterisk-adapter/pbx"); file != nil {
		e.wants(file, wish{"general", "enabled", "yes", "no", Wrong, "there are no Cdr events without it"})
		for _, mapping := range []struct {
			key, header string
			verdict     Verdict
		}{{"linkedid", "LinkedID", Wrong}, {"sequence", "Sequence", Wrong}, {"peeraccount", "PeerAccount", Better}} {
			e.wants(file, wish{"mappings", mapping.key, mapping.header, "no header", mapping.verdict, "the Cdr event does not have it otherwise"})
		}
	}
	file := e.read("manager.conf", "Asterisk's manager interface needs it")
	if file == nil {
		return
	}
	e.wants(file, wish{"general", "enabled", "yes", "no", Wrong, "the manager interface is off"})
	who := e.config.AMI.User
	if !file.Has(who) {
		e.add(Wrong, "manager.conf", fmt.Sprintf("there is no user [%s]", who), "add it as in asterisk-adapter/pbx/manager_callseal.conf, or set ami.user to one that is there")
		return
	}
	read, _ := file.Get(who, "read")
	said, classes := fmt.Sprintf("[%s] read = %s", who, read.Value), strings.Split(strings.ReplaceAll(read.Value, " ", ""), ",")
	missing := slices.DeleteFunc(strings.Split(conversation.AMIClasses, ","), func(class string) bool { return contains(classes, class) })
	switch {
	case !contains(classes, "cdr"):
		e.add(Wrong, read.Place(), said, "add cdr to read: the user gets no Cdr events otherwise")
	case len(missing) > 0:
		e.add(Better, read.Place(), said, "add "+strings.Join(missing, ", ")+" to read: transfers, holds, queues and what the dialplan tells are missed otherwise")
	default:
		e.add(Right, read.Place(), said, "")
	}
	e.wants(file, wish{"general", "timestampevents", "yes", "no", Better, "events then have Asterisk's time and not that of their arrival"})
	if write, found := file.Get(who, "write"); found && write.Value != "" {
		e.add(Better, write.Place(), fmt.Sprintf("[%s] write = %s", who, write.Value), "leave write empty: the adapter changes nothing")
	}
}

func contains(classes []string, class string) bool {
	for _, one := range classes {
		if strings.EqualFold(one, class) || strings.EqualFold(one, "all") {
			return true
		}
	}
	return false
}

func (e *examination) tableConf() {
	table := e.config.CDR.Table
	if table == nil {
		return
	}
	file := e.read("cdr_adaptive_odbc.conf", "have cdr_adaptive_odbc write to the table, as FreePBX has")
	if file == nil {
		return
	}
	for _, section := range file.Sections() {
		name, found := file.Get(section, "table")
		if !found || !strings.EqualFold(name.Value, table.Name) {
			continue
		}
		e.add(Right, name.Place(), fmt.Sprintf("[%s] table = %s", section, name.Value), "")
		utc := map[bool]string{true: "yes", false: "no"}[table.UTCTimes]
		e.wants(file, wish{section, "usegmtime", utc, "no", Wrong, fmt.Sprintf("cdr.table.utc_times is %t in the adapter's configuration; change that, or this", table.UTCTimes)})
		return
	}
	e.add(Wrong, file.Name, fmt.Sprintf("no section writes to the table %s", table.Name), "add one, or set cdr.table.name to the table that is written")
}

// leastWebsocketTimeout is what a busy machine needs, in ms.
const leastWebsocketTimeout = 1000

func (e *examination) ariConf() {
	if e.config.ARI == nil {
		return
	}
	if file := e.read("http.conf", "Asterisk's REST interface needs it"); file != nil {
		e.wants(file, wish{"general", "enabled", "yes", "no", Wrong, "the REST interface is off"})
	}
	file := e.read("ari.conf", "copy the lines of asterisk-adapter/pbx/ari_callseal.conf into it")
	if file == nil {
		return
	}
	e.wants(file, wish{"general", "enabled", "yes", "yes", Wrong, "the REST interface is off"})
	line, found := file.Get("general", "websocket_write_timeout")
	said, where := "[general] says nothing of websocket_write_timeout, which means 100", file.Name
	if found {
		said, where = "[general] websocket_write_timeout = "+line.Value, line.Place()
	}
	if ms, err := strconv.Atoi(line.Value); err != nil || ms < leastWebsocketTimeout {
		e.add(Wrong, where, said, "set websocket_write_timeout = 5000 in [general]: events are lost otherwise whenever this machine is busy")
	} else {
		e.add(Right, where, said, "")
	}
	who := e.config.ARI.User
	if kind, found := file.Get(who, "type"); !found || kind.Value != "user" {
		e.add(Wrong, file.Name, fmt.Sprintf("there is no user [%s]", who), "add it as in asterisk-adapter/pbx/ari_callseal.conf, or set ari.user to one that is there")
		return
	}
	e.wants(file, wish{who, "read_only", "yes", "no", Better, "the adapter only observes"})
}

// folders sees what the adapter's user may do. Run it as that user.
func (e *examination) folders() {
	for _, one := range []struct {
		setting, path string
		may, as       string
	}{
		{"cdr.csv", filepath.Dir(e.config.CDR.CSV), "rx", "read"},
		{"recordings.folder", e.config.Recordings.Folder, "rx", "read"},
		{"recordings.closed", e.config.Recordings.Closed, "rwx", "write in"},
		{"state_dir", e.config.StateDir, "rwx", "write in"},
		{"consent.evidence", e.config.consentFolders()[0], "rwx", "write in"},
		{"consent.marks", e.config.consentFolders()[1], "rwx", "write in"},
	} {
		if one.path == "" || one.setting == "cdr.csv" && e.config.CDR.CSV == "" {
			continue
		}
		switch info, err := os.Stat(one.path); {
		case errors.Is(err, fs.ErrNotExist) && one.setting == "state_dir":
			e.add(Right, one.setting, one.path+" is made at the first start", "")
			continue
		case err != nil:
			e.add(Wrong, one.setting, err.Error(), "make the folder, or set "+one.setting+" to where it is")
			continue
		case !info.IsDir():
			e.add(Wrong, one.setting, one.path+" is no folder", "set "+one.setting+" right")
			continue
		}
		if err := e.may(one.path, one.may); err != nil {
			e.add(Wrong, one.setting, fmt.Sprintf("%s: %v", one.path, err), "let the adapter's user "+one.as+" it, by its group for instance: usermod -aG asterisk callseal")
			continue
		}
		e.add(Right, one.setting, one.path, "")
	}
	e.columns()
}

// columns reads the newest line of the CDR file, if there is one.
func (e *examination) columns() {
	if e.config.CDR.CSV == "" {
		return
	}
	line, err := lastLine(e.config.CDR.CSV)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(line) == 0:
		return // no call yet
	case err != nil:
		e.add(Wrong, "cdr.csv", err.Error(), "let the adapter's user read it")
		return
	}
	zone := time.UTC
	if e.config.CDR.LocalTimes {
		if zone, err = e.config.location(); err != nil {
			return // the configuration was refused for it
		}
	}
	row, err := cdr.ParseCSV(line, zone)
	switch ahead := time.Until(row.End); {
	case err != nil:
		e.add(Wrong, "cdr.csv", "its newest record: "+err.Error(), "mend cdr.conf; records from before stay as they are")
	case ahead > maxAhead:
		e.add(Wrong, "cdr.csv", fmt.Sprintf("its newest record ends %s in the future", ahead.Round(time.Second)), "set timezone and cdr.local_times to what Asterisk uses, or the clock right")
	default:
		e.add(Right, "cdr.csv", "its newest record can be read", "")
	}
}

// lastLine is the last whole line of a file.
func lastLine(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the CDR file: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the CDR file: %w", err)
	}
	tail := make([]byte, min(info.Size(), cdr.MaxLine))
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("read the CDR file: %w", err)
	}
	text, _, whole := cutLast(string(tail), "\n")
	if !whole {
		return nil, nil
	}
	_, line, _ := cutLast("\n"+text, "\n")
	return []byte(line), nil
}

// cutLast cuts at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}

// running asks what runs.
func (e *examination) running(ctx context.Context) {
	for _, one := range []struct {
		name string
		used bool
		ask  func(context.Context) (string, error)
		do   string
	}{
		{"AMI", e.config.AMI != nil, e.askAMI, "see that Asterisk runs and that ami is right; reload the manager after a change"},
		{"ARI", e.config.ARI != nil, e.askARI, "see that Asterisk runs and that ari is right; reload res_ari after a change"},
		{"AMI for control", e.config.Control != nil, e.askControl, "see that control is right; reload the manager after a change"},
		{"ARI for consent", e.config.Consent != nil, e.askConsentARI, "see that consent.ari is right; reload res_ari after a change"},
		{"table of CDRs", e.config.CDR.Table != nil, e.askTable, "see that the database runs and that cdr.table is right, or do what it says"},
	} {
		if !one.used {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, examineFor)
		found, err := one.ask(asking)
		cancel()
		if err != nil {
			e.add(Wrong, one.name, err.Error(), one.do)
			continue
		}
		e.add(Right, one.name, found, "")
	}
}

func (e *examination) askAMI(ctx context.Context) (string, error) {
	password, err := secret(e.config.AMI.SecretFile, e.config.AMI.Secret)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reached bool
	var last error
	err = ami.New(ami.Options{Address: e.config.AMI.Address, User: e.config.AMI.User, Secret: password, Events: "cdr"}).Run(ctx, ami.Handler{
		Connected: func(int) { reached = true; cancel() },
		Lost:      func(err error) { last = err },
		Event:     func(ami.Event) {},
	})
	switch {
	case reached:
		return "it takes the user " + e.config.AMI.User, nil
	case errors.Is(err, ami.ErrLogin) || last == nil:
		return "", err
	}
	return "", last
}

func (e *examination) askARI(ctx context.Context) (string, error) {
	found, err := (&Adapter{config: e.config}).askRunning(ctx)
	if err != nil {
		return "", err
	}
	return found.version + " answers", nil
}

func (e *examination) askTable(ctx context.Context) (string, error) {
	db, err := e.config.CDR.Table.open()
	if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // it was only read
	table := &cdr.Table{DB: db, Name: e.config.CDR.Table.Name, Refused: refused}
	if err := table.Check(ctx); err != nil {
		return "", err
	}
	return "it has what is needed", nil
}

// gateway asks the gateway for the PBX's history, as the adapter will.
func (e *examination) gateway(ctx context.Context) {
	if _, err := loadSigner(e.config); err != nil {
		e.add(Wrong, "identity", err.Error(), "have your operator's admin issue the adapter a certificate")
		return
	}
	e.add(Right, "identity", "the certificate is "+e.config.PBX+"'s", "")
	connection, err := connect.Dial(connect.Config{
		Address: e.config.Gateway.Address, ServerName: e.config.Gateway.ServerName, CAFile: e.config.Gateway.CAFile,
		CertFile: e.config.Identity.CertFile, KeyFile: e.config.Identity.KeyFile,
	})
	if err != nil {
		e.add(Wrong, "gateway", err.Error(), "set gateway right")
		return
	}
	defer connection.Close() //nolint:errcheck // nothing is under way
	ctx, cancel := context.WithTimeout(ctx, examineFor)
	defer cancel()
	_, err = pb.NewLedgerServiceClient(connection).GetChain(ctx, &pb.GetChainRequest{Msp: e.config.MSP, Pbx: e.config.PBX})
	switch status.Code(err) {
	case codes.OK:
		e.add(Right, "gateway", "it knows the PBX's history", "")
	case codes.NotFound:
		e.add(Right, "gateway", "it answers; the PBX has no history yet", "")
	default:
		e.add(Wrong, "gateway", connect.ProblemOf(err).Message, "calls wait in the adapter's journal until this is mended")
	}
}
