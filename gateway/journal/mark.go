package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// mark is a small file that says how many batches were acknowledged. Pebble takes a
// write-ahead log that ends in garbage for one that a crash tore, and could not
// tell if the end had been acknowledged and was damaged since; the mark can. It is
// written after the batch is on disk and before anybody is told. It is not fsynced
// each time, so it survives the process but may fall behind when the power fails:
// then it claims less, never more.
type mark struct {
	mu   sync.Mutex
	file *os.File
	seq  uint64
}

const markBytes = 12

// openMark compares the mark with what the journal holds.
func openMark(dir string, found uint64, log *slog.Logger) (*mark, error) {
	path := filepath.Join(dir, "acknowledged")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal's mark: %w", err)
	}
	m := &mark{file: file}
	text := make([]byte, markBytes)
	n, _ := file.ReadAt(text, 0)
	switch seq := binary.BigEndian.Uint64(text); {
	case n < markBytes || crc32.ChecksumIEEE(text[:8]) != binary.BigEndian.Uint32(text[8:]):
		if found > 0 {
			log.Warn("journal: there is no mark of what was acknowledged; what is there is taken for all there was", "mark", path)
		}
	case seq > found:
		return nil, errors.Join(&DamageError{
			File: newestLog(dir),
			Reason: fmt.Sprintf("%d batches were acknowledged, %d can be read: the end of the write-ahead log was lost or altered after it was written "+
				"(to go on with what can be read, remove %s)", seq, found, path),
		}, file.Close())
	}
	if err := m.advance(found); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(fmt.Errorf("write the journal's mark: %w", err), file.Close())
	}
	return m, nil
}

// advance raises the mark.
func (m *mark) advance(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq < m.seq {
		return nil
	}
	text := binary.BigEndian.AppendUint64(make([]byte, 0, markBytes), seq)
	text = binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text))
	if _, err := m.file.WriteAt(text, 0); err != nil {
		return fmt.Errorf("write the journal's mark: %w", err)
	}
	m.seq = seq
	return nil
}

func (m *mark) close() error {
	return errors.Join(m.file.Sync(), m.file.Close())
}
