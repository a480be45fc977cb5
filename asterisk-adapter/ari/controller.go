package ari

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/CyCoreSystems/ari/v6"
)

// Happening is something that happened to a channel that the dialplan has sent to a
// Controller's application.
type Happening struct {
	// Kind is one of the kinds below.
	Kind HappeningKind
	// Channel is the channel's uniqueid, empty for Played and Recorded.
	Channel string
	// Name is the channel's name; of Played and Recorded the playback's id and the
	// recording's name.
	Name string
	// Number is the caller's, as the PBX has it.
	Number string
	// Args are what the dialplan gave to Stasis(), of Entered.
	Args []string
	// Digit is the key that was pressed, of Pressed.
	Digit string
	// Failed says that a playback or a recording came to nothing.
	Failed bool
	// At is when, by the PBX's clock.
	At time.Time
}

// HappeningKind says what happened.
type HappeningKind int

// The kinds.
const (
	// Entered: the dialplan has sent the channel.
	Entered HappeningKind = iota + 1
	// Left: the channel has hung up or gone on in the dialplan.
	Left
	// Pressed: a key was pressed.
	Pressed
	// Played: a playback has ended.
	Played
	// Recorded: a recording's file is closed.
	Recorded
)

// ControlHandler is told what happens, by one goroutine, in order; see Handler.
type ControlHandler struct {
	Connected func(attempt int)
	Lost      func(error)
	Happened  func(Happening)
}

// Controller is a Stasis application that acts on the channels that the dialplan
// sends to it, and is told of no others. Its user has read_only = no.
type Controller struct{ session *Observer }

// NewController returns a controller that Run will connect.
func NewController(opts Options) *Controller {
	opts.own = true
	return &Controller{session: New(opts)}
}

// Application is the Stasis application's name.
func (c *Controller) Application() string { return c.session.opts.App }

// Run connects, and again whenever the connection is lost, until the context ends
// or Asterisk refuses the user (ErrLogin).
func (c *Controller) Run(ctx context.Context, handler ControlHandler) error {
	return c.session.Run(ctx, Handler{
		Connected: func(attempt int, _ Listing) { handler.Connected(attempt) }, Lost: handler.Lost,
		Event: func(event ari.Event) {
			if happening, known := happeningOf(event); known {
				handler.Happened(happening)
			}
		},
	})
}

// ErrGone says that the channel, or whatever else was to be acted on, is not there.
var ErrGone = errors.New("it is not there any more")

// Do makes a request that changes something, such as POST /channels/ID/answer.
// The error is ErrGone where what it names is not there.
func (c *Controller) Do(ctx context.Context, method, path string, query url.Values) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	found, err := c.session.request(ctx, method, path, nil)
	if err == nil && !found {
		return ErrGone
	}
	return err
}

// Waiting are the channels that wait in the application, as if they had just
// entered: what it left behind when it was cut off. Of them it is told from now on.
func (c *Controller) Waiting(ctx context.Context) ([]Happening, error) {
	var list []struct {
		ID, Name string
		Caller   struct{ Number string }
		Dialplan struct {
			AppName string `json:"app_name"`
			AppData string `json:"app_data"`
		}
	}
	if _, err := c.session.get(ctx, "/channels", &list); err != nil {
		return nil, err
	}
	var waiting []Happening
	for i := range list {
		one := &list[i]
		args := strings.Split(one.Dialplan.AppData, ",")
		if one.Dialplan.AppName != "Stasis" || args[0] != c.session.opts.App {
			continue
		}
		err := c.Do(ctx, http.MethodPost, "/applications/"+url.PathEscape(c.session.opts.App)+"/subscription", url.Values{"eventSource": {"channel:" + one.ID}})
		if errors.Is(err, ErrGone) {
			continue // hung up meanwhile
		}
		if err != nil {
			return nil, err
		}
		waiting = append(waiting, Happening{Kind: Entered, Channel: one.ID, Name: one.Name, Number: one.Caller.Number, Args: args[1:], At: time.Now()})
	}
	return waiting, nil
}

// happeningOf reads an event; false is of no interest.
func happeningOf(event ari.Event) (Happening, bool) {
	of := func(kind HappeningKind, data ari.EventData, channel *ari.ChannelData) Happening {
		happening := Happening{Kind: kind, At: time.Time(data.Timestamp).UTC(), Channel: channel.ID, Name: channel.Name}
		if channel.Caller != nil {
			happening.Number = channel.Caller.Number
		}
		return happening
	}
	switch e := event.(type) {
	case *ari.StasisStart:
		happening := of(Entered, e.EventData, &e.Channel)
		happening.Args = e.Args
		return happening, true
	case *ari.StasisEnd:
		return of(Left, e.EventData, &e.Channel), true
	case *ari.ChannelDestroyed:
		return of(Left, e.EventData, &e.Channel), true
	case *ari.ChannelDtmfReceived:
		happening := of(Pressed, e.EventData, &e.Channel)
		happening.Digit = e.Digit
		return happening, true
	case *ari.PlaybackFinished:
		return Happening{Kind: Played, Name: e.Playback.ID, Failed: e.Playback.State == "failed", At: time.Time(e.Timestamp).UTC()}, true
	case *ari.RecordingFinished:
		return Happening{Kind: Recorded, Name: e.Recording.Name, Failed: e.Recording.State != "done", At: time.Time(e.Timestamp).UTC()}, true
	case *ari.RecordingFailed:
		return Happening{Kind: Recorded, Name: e.Recording.Name, Failed: true, At: time.Time(e.Timestamp).UTC()}, true
	}
	return Happening{}, false
}
