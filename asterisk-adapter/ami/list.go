package ami

import (
	"context"
	"fmt"
	"strings"
)

// list is an action that is answered by events.
type list struct {
	id     string
	events []Event
	done   chan error
}

func (l *list) end(err error) {
	select {
	case l.done <- err:
	default: // it has ended
	}
}

// List sends an action that Asterisk answers by a list of events, such as Status, and
// returns them without the last, which says that the list is complete. The handler is
// not told of them; it must not call this. The error is as Action's.
func (s *Session) List(ctx context.Context, action string, headers ...Header) ([]Event, error) {
	into := &list{done: make(chan error, 1)}
	defer func() {
		s.mu.Lock()
		delete(s.lists, into.id)
		s.mu.Unlock()
	}()
	if _, err := s.act(ctx, action, into, headers); err != nil {
		return nil, err
	}
	select {
	case err := <-into.done:
		if err != nil {
			return nil, fmt.Errorf("AMI action %s: %w", action, err)
		}
		return into.events, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("AMI action %s: %w", action, ctx.Err())
	}
}

// listed takes an event that answers an action.
func (s *Session) listed(event Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lists) == 0 {
		return false
	}
	id, _ := event.Get("ActionID")
	one := s.lists[id]
	if one == nil {
		return false
	}
	if state, ends := event.Get("EventList"); ends && strings.EqualFold(state, "Complete") {
		one.end(nil)
		return true
	}
	one.events = append(one.events, event)
	return true
}
