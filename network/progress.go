package network

import "sync"

// oneAtATime lets concurrent steps share a progress function.
func oneAtATime(progress func(string)) func(string) {
	if progress == nil {
		return func(string) {}
	}
	var mutex sync.Mutex
	return func(line string) {
		mutex.Lock()
		defer mutex.Unlock()
		progress(line)
	}
}
