package conversation

import (
	"fmt"
	"strings"
	"time"

	"github.com/CyCoreSystems/ari/v6"
)

// FromARI reads an event of Asterisk's REST interface; false where it is none of these.
// ARI tells neither linkedids nor of parking, pickup and queues.
func FromARI(event ari.Event) (Event, bool) {
	found := Event{Source: SourceARI}
	var data ari.EventData
	switch e := event.(type) {
	case *ari.ChannelHold:
		data, found.Kind, found.Channels = e.EventData, KindHold, channelsOf(e.Channel)
	case *ari.ChannelUnhold:
		data, found.Kind, found.Channels = e.EventData, KindResume, channelsOf(e.Channel)
	case *ari.BridgeBlindTransfer:
		if e.Result != "Success" {
			return found, false
		}
		data, found.Kind, found.Place, found.Channels = e.EventData, KindBlindTransfer, e.Exten+"@"+e.Context, channelsOf(e.Channel, e.Transferee)
	case *ari.BridgeAttendedTransfer:
		if e.Result != "Success" {
			return found, false
		}
		data, found.Kind, found.Channels = e.EventData, KindAttendedTransfer, channelsOf(e.TransfererSecondLeg, e.TransfererFirstLeg, e.Transferee, e.TransferTarget)
		found.Joins = len(found.Channels) >= 2
	case *ari.Dial:
		if e.Forward == "" {
			return found, false
		}
		data, found.Kind, found.Place, found.Channels = e.EventData, KindForward, e.Forward, channelsOf(e.Caller, e.Peer)
	case *ari.ChannelDestroyed:
		data, found.Kind, found.Channels = e.EventData, kindEnd, channelsOf(e.Channel)
		if e.Cause > 0 && e.Cause < 128 {
			found.Cause = int64(e.Cause)
		}
	case *ari.ChannelUserevent:
		told, are := e.Userevent.(map[string]any)
		if e.Eventname != UserEvent || !are {
			return found, false
		}
		data, found.Kind, found.Channels = e.EventData, kindFacts, channelsOf(e.Channel)
		found.Facts = facts(func(name string) string {
			for key, value := range told {
				if strings.EqualFold(key, name) {
					return fmt.Sprint(value)
				}
			}
			return ""
		})
	default:
		return found, false
	}
	found.At, found.Place = timeOf(data), bounded(found.Place)
	return found, len(found.Channels) > 0
}

func channelsOf(all ...ari.ChannelData) []Channel {
	var found []Channel
	for _, one := range all {
		if one.ID != "" && one.Name != "" {
			found = append(found, Channel{Name: one.Name, UniqueID: one.ID})
		}
	}
	return found
}

func timeOf(data ari.EventData) time.Time { return time.Time(data.Timestamp).UTC() }
