// SPDX-License-Identifier: MIT

package sshkey

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"glick.org/glick/bundle/signature"
)

// agentSigner signs through the agent. It connects for each signature, so that there is nothing to close, and sets no time limit, because the
// agent may ask a person.
type agentSigner struct {
	socket string
	public ssh.PublicKey
}

var _ ssh.AlgorithmSigner = (*agentSigner)(nil)

// fromAgent makes a signer of a key that the agent holds. Errors are ErrNoAgent, ErrNotInAgent, signature.ErrUnsupported or the agent's.
func fromAgent(file string, public ssh.PublicKey, o Options) (*signer, error) {
	if _, err := signature.KeyOf(public, ""); err != nil {
		return nil, fmt.Errorf("cannot sign with %s: %w", file, err)
	}
	socket := o.AgentSocket
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	conn, err := dial(socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	held, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("cannot ask the ssh agent: %w", err)
	}
	for _, k := range held {
		if equal(k, public) {
			key, err := signature.KeyOf(public, k.Comment)
			return &signer{key, &agentSigner{socket, public}}, err
		}
	}
	return nil, fmt.Errorf("cannot sign with %s: %w", file, ErrNotInAgent)
}

func dial(socket string) (net.Conn, error) {
	if socket == "" {
		return nil, fmt.Errorf("%w (SSH_AUTH_SOCK is not set)", ErrNoAgent)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	return conn, nil
}

// PublicKey implements ssh.Signer.
func (s *agentSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign implements ssh.Signer.
func (s *agentSigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(random, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner. The agent has random numbers of its own.
func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	conn, err := dial(s.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var flags agent.SignatureFlags
	if algorithm == ssh.KeyAlgoRSASHA512 {
		flags = agent.SignatureFlagRsaSha512
	}
	return agent.NewClient(conn).SignWithFlags(s.public, data, flags)
}
