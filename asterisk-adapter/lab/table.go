package lab

import (
	"fmt"
	"net"
	"path/filepath"
)

// Table is a table of CDRs, "cdr" as FreePBX calls it, that Asterisk writes to by ODBC
// and cdr_adaptive_odbc.
type Table struct {
	// Address is MariaDB's, host:port.
	Address, Database, User, Password string
	// UTCTimes has it write UTC instead of the PBX's local times.
	UTCTimes bool
}

// tableModules are loaded where there is a table.
var tableModules = []string{"res_odbc_transaction", "res_odbc", "cdr_adaptive_odbc"}

// source is the name of the data source, to unixODBC and to Asterisk.
const source = "asteriskcdrdb"

// files are those of Asterisk's configuration folder, and unixODBC's odbc.ini.
func (t *Table) files(driver string) (map[string]string, error) {
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil {
		return nil, fmt.Errorf("the table's address: %w", err)
	}
	return map[string]string{
		"odbc.ini":               fmt.Sprintf("[%s]\nDriver = %s\nServer = %s\nPort = %s\nDatabase = %s\n", source, driver, host, port, t.Database),
		"res_odbc.conf":          fmt.Sprintf("[%[1]s]\nenabled = yes\ndsn = %[1]s\nusername = %[2]s\npassword = %[3]s\npre-connect = yes\n", source, t.User, t.Password),
		"cdr_adaptive_odbc.conf": fmt.Sprintf("[%[1]s]\nconnection = %[1]s\ntable = cdr\nusegmtime = %[2]s\nalias start => calldate\n", source, yes(t.UTCTimes)),
	}, nil
}

// driver is MariaDB's ODBC driver: the tree's, or as the machine calls its own.
func (i *Installation) driver() string {
	if i.tree == "" {
		return "MariaDB Unicode"
	}
	return filepath.Join(i.lib, "odbc", "libmaodbc.so")
}
