package ledger

// DevicePolicy says what becomes of devices that are not registered.
type DevicePolicy struct{}

func (p *DevicePolicy) check() error { return nil }

func defaultDevicePolicy() *DevicePolicy { return &DevicePolicy{} }
