package ari

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/CyCoreSystems/ari/v6"
)

// Listing is what was there when a connection began.
type Listing struct {
	Channels []Channel
	Bridges  []Bridge
	// Stored are the recordings whose files are there, those that are still being
	// written too: ask [Observer.Live].
	Stored []Recording
}

// Channel is a channel that was up, or on its way.
type Channel struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	// ProtocolID is the SIP Call-ID of a PJSIP channel.
	ProtocolID string       `json:"protocol_id"`
	Created    ari.DateTime `json:"creationtime"`
	Caller     ari.CallerID `json:"caller"`
	// Dialplan is where it is. AppName is "AppDial" for a channel that was dialled.
	Dialplan ari.DialplanCEP `json:"dialplan"`
}

// Bridge is a bridge and the channels in it.
type Bridge struct {
	ID       string   `json:"id"`
	Type     string   `json:"bridge_type"`
	Class    string   `json:"bridge_class"`
	Channels []string `json:"channels"`
}

// list asks for what is there.
func (o *Observer) list(ctx context.Context) (*Listing, error) {
	there := &Listing{}
	for _, one := range []struct {
		path string
		into any
	}{{"/channels", &there.Channels}, {"/bridges", &there.Bridges}, {"/recordings/stored", &there.Stored}} {
		// Without the module for recordings there are none.
		if _, err := o.get(ctx, one.path, one.into); err != nil {
			return nil, fmt.Errorf("list what is there: %w", err)
		}
	}
	for i := range there.Stored {
		there.Stored[i].State = stateDone
	}
	return there, nil
}

// Live says whether a recording is still being written.
func (o *Observer) Live(ctx context.Context, name string) (bool, error) {
	return o.get(ctx, "/recordings/live/"+url.PathEscape(name), nil)
}

// Variable is what a channel's variable or dialplan function says, such as
// "CHANNEL(linkedid)"; false means that the channel is gone.
func (o *Observer) Variable(ctx context.Context, channel, variable string) (string, bool, error) {
	var answer struct {
		Value string `json:"value"`
	}
	found, err := o.get(ctx, "/channels/"+url.PathEscape(channel)+"/variable?variable="+url.QueryEscape(variable), &answer)
	return answer.Value, found, err
}

// reconcile takes in the channels that are up at a connection, and ends the wait for
// those that went away before it: nobody will tell of their end any more.
func (c *channels) reconcile(attempt int, there []Channel) {
	for i := range there {
		at := &there[i]
		c.update(attempt, ari.ChannelData{ID: at.ID, Name: at.Name, ProtocolId: at.ProtocolID}, func(ch *channel) {
			setOnce(&ch.Created, at.Created)
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.known {
		if ch.attempt < attempt && ch.Destroyed.IsZero() && !ch.gone {
			ch.gone, ch.touched = true, time.Now()
			close(ch.ended)
		}
	}
}
