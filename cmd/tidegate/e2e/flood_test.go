package e2e_test

import (
	"context"
	endian "encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"
)

// floodWindow is how many numbers a flood has under way.
const floodWindow = 200

// flood publishes the numbers from 1 to n on each topic, all topics at once and each on a connection of its own, as fast as the broker takes
// them, and returns when all are acknowledged.
func flood(t *testing.T, addr string, n int, topics ...string) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make(chan error, len(topics))
	for _, topic := range topics {
		wg.Go(func() {
			if err := floodOne(t.Context(), addr, topic, n); err != nil {
				errs <- fmt.Errorf("%s: %w", topic, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
}

func floodOne(ctx context.Context, addr, topic string, n int) error {
	w, _, err := dialWire(ctx, addr, topic, true)
	if err != nil {
		return err
	}
	under := make(chan struct{}, floodWindow)
	acked := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { acked <- takeAcks(w, n, under) })
	defer reader.Wait()
	defer w.Close()
	s := sender{topic: topic, qos: 1}
	for i := 1; i <= n; i++ {
		select {
		case under <- struct{}{}:
		case err := <-acked:
			return err
		}
		if err := s.publish(w, sending{n: i}, false); err != nil {
			return err
		}
	}
	return <-acked
}

// takeAcks reads n acknowledgements, which come in the order of the numbers, and makes room for each.
func takeAcks(w *wire, n int, under <-chan struct{}) error {
	for i := 1; i <= n; i++ {
		_ = w.SetReadDeadline(time.Now().Add(patience))
		kind, body, err := w.read()
		if err != nil {
			return fmt.Errorf("number %d is not acknowledged: %w", i, err)
		}
		if kind != packetPuback || len(body) != 2 || endian.BigEndian.Uint16(body) != (sending{n: i}).id() {
			return fmt.Errorf("packet %#x % x where the PUBACK of number %d is due", kind, body, i)
		}
		<-under
	}
	return nil
}
