package seal

// DestroyHalf is Destroy until a crash that comes between the deletion from the index
// and the overwriting.
func (k *Keyring) DestroyHalf(recordKeys ...string) error {
	_, err := k.forget(recordKeys)
	return err
}
