package server

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// The page on the gateway says of every method what the table says.
func TestThePageSaysWhoMayWhat(t *testing.T) {
	content, err := os.ReadFile("../../docs/gateway.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(content), "<!-- roles: checked")
	require.True(t, found)
	table, _, found = strings.Cut(table, "<!-- end of roles -->")
	require.True(t, found)
	said := 0
	for line := range strings.SplitSeq(table, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "/") {
			said++
		}
	}
	require.Equal(t, len(allowed), said)
	for method, rule := range allowed {
		changes := ""
		if rule.mutates {
			changes = "yes"
		}
		row := fmt.Sprintf("| %s | %s | %s |", strings.ReplaceAll(method[1:], "callseal.v1.", ""), rule.class, changes)
		for _, role := range []ledger.Role{ledger.RoleAdapter, ledger.RoleGateway, ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin} {
			mark := ""
			if slices.Contains(rule.roles, role) {
				mark = "●"
			}
			row += fmt.Sprintf(" %s |", mark)
		}
		require.Contains(t, table, row+"\n", "docs/gateway.md, section \"Who may what\", must have this row")
	}
}
