package index

// Scan has a filtered answer look at so few writes of each kind.
func (x *Index) Scan(writes int) { x.scan = writes }
