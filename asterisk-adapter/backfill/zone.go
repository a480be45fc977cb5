package backfill

import (
	"fmt"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
)

const (
	// zoneRows is how many records a file's time zone is judged by.
	zoneRows = 50
	// zoneStep is what all time zones are a multiple of.
	zoneStep = 15 * time.Minute
	// zoneSlack forgives that a record begins some time after its channel was made.
	zoneSlack = 3 * time.Second
)

// zoneOff is by how much the times of most records are off their channels' creation,
// which a uniqueid tells: a multiple of a quarter of an hour, where they were read in
// another time zone than they were written in; 0 otherwise. Anchored so, they would be
// wrong for ever.
func zoneOff(rows []cdr.Row) time.Duration {
	count, told := map[time.Duration]int{}, 0
	for i := range rows {
		created, known := rows[i].Created()
		if !known {
			continue
		}
		told++
		if off := rows[i].Start.Sub(created); off.Abs() > zoneSlack {
			if step := off.Round(zoneStep); (off - step).Abs() <= zoneSlack {
				count[step]++
			}
		}
	}
	for off, n := range count {
		if off != 0 && n*2 > told {
			return off
		}
	}
	return 0
}

func zoneError(off time.Duration, zone *time.Location) error {
	return fmt.Errorf("its times, read as %s, are %s off the creation of the channels that they are about: say in which time zone they were written, by --times utc, --times local or --timezone", zone, off)
}
