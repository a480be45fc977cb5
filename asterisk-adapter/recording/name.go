package recording

// UniqueIDOf is the channel that a recording's file is of, by one of DefaultNames; empty
// where its name does not tell.
func UniqueIDOf(name string) string {
	for _, pattern := range DefaultNames {
		if m := pattern.FindStringSubmatch(name); m != nil {
			return m[pattern.SubexpIndex("uniqueid")]
		}
	}
	return ""
}
