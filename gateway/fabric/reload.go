package fabric

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// filesEvery is how often the identity's and TLS' files are looked at.
	filesEvery = 2 * time.Second
	// expiryNotice is how long before its end an identity is warned of, and
	// noticeEvery how often.
	expiryNotice, noticeEvery = 30 * 24 * time.Hour, 24 * time.Hour
)

// Identity is the certificate that signs now.
func (c *shared) Identity() *x509.Certificate { return c.peers[0].link.Load().signer.certificate }

// Expiring is a sentence on the identity's certificate where it ends within 30
// days; empty where it does not.
func (c *shared) Expiring() string {
	certificate := c.Identity()
	left := time.Until(certificate.NotAfter)
	name, end := certificate.Subject.CommonName, certificate.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		return fmt.Sprintf("the certificate of %s expired on %s: the peers refuse it, renew it", name, end)
	case left < expiryNotice:
		return fmt.Sprintf("the certificate of %s expires on %s: renew it", name, end)
	}
	return ""
}

// followFiles takes up replaced files of the identity and of TLS: new connections
// and transactions use them, what is under way ends on the old ones. Files that do
// not fit each other yet are looked at again.
func (c *Channel) followFiles(ctx context.Context) {
	before, _ := c.config.fingerprint()
	looking := time.NewTicker(filesEvery)
	defer looking.Stop()
	var noticed time.Time
	for {
		if text := c.Expiring(); text != "" && time.Since(noticed) > noticeEvery {
			c.log.Warn(text)
			noticed = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-looking.C:
		}
		now, err := c.config.fingerprint()
		if err == nil && now == before {
			continue
		}
		if err == nil {
			err = c.renew()
		}
		if err != nil {
			c.log.Warn("the replaced certificate files are not taken up yet", "error", err)
			continue
		}
		before, noticed = now, time.Time{}
		c.log.Info("replaced certificate files taken up", "identity", c.Identity().Subject.CommonName, "expires", c.Identity().NotAfter)
	}
}

// fingerprint changes with the files.
func (c *Config) fingerprint() (sum [sha256.Size]byte, err error) {
	files := []string{c.CertFile, c.KeyFile, c.TLSCertFile, c.TLSKeyFile}
	for _, peer := range c.Peers {
		files = append(files, peer.CAFile)
	}
	digest := sha256.New()
	for _, file := range files {
		if file == "" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return sum, fmt.Errorf("look at the certificate files: %w", err)
		}
		one := sha256.Sum256(content)
		digest.Write(one[:])
	}
	digest.Sum(sum[:0])
	return sum, nil
}

// renew makes new ways to the peers and lets the old ones end.
func (c *Channel) renew() error {
	signer, err := c.config.signer(c.token)
	if err != nil {
		return err
	}
	links := make([]*link, 0, len(c.peers))
	for _, at := range c.config.Peers {
		one, err := connect(&c.config, at, signer)
		if err != nil {
			for _, made := range links {
				err = errors.Join(err, made.close())
			}
			return err
		}
		links = append(links, one)
	}
	longest := max(c.deadlines.Evaluate, c.deadlines.Endorse, c.deadlines.Submit)
	for i, peer := range c.peers {
		old := peer.link.Swap(links[i])
		retire := func(ctx context.Context) {
			select {
			case <-ctx.Done():
			case <-time.After(longest):
			}
			_ = old.close()
		}
		if !c.background(retire) {
			_ = old.close()
		}
	}
	return nil
}
