package tessera

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

// origin names the log in its checkpoints.
const origin = "callseal.example/benchmark"

// pollEvery is how often a client looks for a new checkpoint: on average half of it is
// part of what is measured.
const pollEvery = time.Millisecond

// Settings are what an operator of a log can choose.
type Settings struct {
	// BatchSize and BatchAge end a batch of entries, whichever comes first.
	BatchSize uint
	BatchAge  time.Duration
	// CheckpointInterval is the least time between two signed checkpoints.
	CheckpointInterval time.Duration
}

// Default are Tessera's own settings.
func Default() Settings {
	return Settings{BatchSize: tessera.DefaultBatchMaxSize, BatchAge: tessera.DefaultBatchMaxAge, CheckpointInterval: tessera.DefaultCheckpointInterval}
}

// Tuned are for latency: checkpoints as often as POSIX storage permits, and batches
// no older than it takes to write one, so that they do not queue under load.
func Tuned() Settings {
	return Settings{BatchSize: 1024, BatchAge: 5 * time.Millisecond, CheckpointInterval: 100 * time.Millisecond}
}

// quiet has Tessera's log say warnings and errors, and not how it is.
var quiet = sync.OnceFunc(func() {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "WARNING"} {
		if err := flags.Set(name, value); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
})

// Log is a running transparency log in a folder, with a client that awaits checkpoints.
type Log struct {
	appender *tessera.Appender
	reader   tessera.LogReader
	awaiter  *tessera.PublicationAwaiter
	shutdown func(context.Context) error
	stop     context.CancelFunc
	verifier note.Verifier
}

// Open makes a log in an empty folder, with a key of its own.
func Open(ctx context.Context, folder string, settings Settings) (*Log, error) {
	quiet()
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make the log's key: %w", err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return nil, fmt.Errorf("open the log's files: %w", err)
	}
	// It is stopped by Close and not by the measurement's end.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{stop: stop, verifier: verifier}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(settings.BatchSize, settings.BatchAge).WithCheckpointInterval(settings.CheckpointInterval)
	l.appender, l.shutdown, l.reader, err = tessera.NewAppender(running, driver, options)
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the log: %w", err)
	}
	l.awaiter = tessera.NewPublicationAwaiter(running, l.reader.ReadCheckpoint, pollEvery)
	return l, nil
}

// Close waits until all that was added stands under a checkpoint, and stops the log.
func (l *Log) Close(ctx context.Context) error {
	defer l.stop()
	if err := l.shutdown(ctx); err != nil {
		return fmt.Errorf("stop the log: %w", err)
	}
	return nil
}

// Proof shows that an entry is in the log.
type Proof struct {
	// Index is the entry's.
	Index uint64
	// Checkpoint is signed, and commits to the log with the entry.
	Checkpoint []byte
	// Path leads from the entry to the checkpoint's root.
	Path [][]byte
}

// Pending is an entry that was added.
type Pending struct {
	log    *Log
	future tessera.IndexFuture
}

// Add has an entry added.
func (l *Log) Add(ctx context.Context, entry []byte) *Pending {
	return &Pending{log: l, future: l.appender.Add(ctx, tessera.NewEntry(entry))}
}

// Integrated waits until the entry is durably part of the tree, which no checkpoint
// may show yet.
func (p *Pending) Integrated() error {
	if _, err := p.future(); err != nil {
		return fmt.Errorf("the log did not take the entry: %w", err)
	}
	return nil
}

// Prove waits for a checkpoint that commits to the entry and makes the proof.
func (p *Pending) Prove(ctx context.Context) (*Proof, error) {
	index, checkpoint, err := p.log.awaiter.Await(ctx, p.future)
	if err != nil {
		return nil, fmt.Errorf("await a checkpoint over the entry: %w", err)
	}
	read, err := p.log.checkpoint(checkpoint)
	if err != nil {
		return nil, err
	}
	builder, err := client.NewProofBuilder(ctx, read.Size, p.log.reader.ReadTile)
	if err != nil {
		return nil, fmt.Errorf("build a proof: %w", err)
	}
	path, err := builder.InclusionProof(ctx, index.Index)
	if err != nil {
		return nil, fmt.Errorf("build a proof: %w", err)
	}
	return &Proof{Index: index.Index, Checkpoint: checkpoint, Path: path}, nil
}

// ErrProof is a proof that does not show that the entry is in the log.
var ErrProof = errors.New("the proof does not hold")

// Verify checks a proof as somebody does who knows the log's public key and nothing
// else of it.
func (l *Log) Verify(entry []byte, shown *Proof) error {
	read, err := l.checkpoint(shown.Checkpoint)
	if err != nil {
		return err
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, shown.Index, read.Size, rfc6962.DefaultHasher.HashLeaf(entry), shown.Path, read.Hash); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

func (l *Log) checkpoint(text []byte) (*log.Checkpoint, error) {
	read, _, _, err := log.ParseCheckpoint(text, origin, l.verifier)
	if err != nil {
		return nil, fmt.Errorf("%w: the checkpoint: %w", ErrProof, err)
	}
	return read, nil
}

// Published is how many entries the newest checkpoint commits to.
func (l *Log) Published(ctx context.Context) (uint64, error) {
	text, err := l.reader.ReadCheckpoint(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the checkpoint: %w", err)
	}
	read, err := l.checkpoint(text)
	if err != nil {
		return 0, err
	}
	return read.Size, nil
}
