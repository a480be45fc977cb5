package lab_test

import (
	"os"
	"testing"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/lab"
)

func TestOneCall(t *testing.T) {
	inst, err := lab.Find(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ast, err := inst.Start(t.Context(), lab.Options{Dir: os.Getenv("LABDIR")})
	if err != nil {
		t.Fatal(err)
	}
	defer ast.Stop()
	t.Log("boot", time.Since(start))
	start = time.Now()
	if err := ast.RegisterPhones(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("registered", time.Since(start))
	start = time.Now()
	r, err := ast.PlaceCall(t.Context(), lab.Call{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v %+v", time.Since(start), r)
	for _, c := range []lab.Call{{To: lab.Busy}, {To: lab.Rings}, {To: lab.RingsLong, Cancel: true}} {
		r, err := ast.PlaceCall(t.Context(), c)
		t.Log(r, err)
	}
}
