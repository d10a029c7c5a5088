package server_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
)

// block has count float32 registers of one device, with good readings.
func block(b *testing.B, count int) *server.Map {
	b.Helper()
	o := server.MapOptions{}
	for i := range count {
		o.Registers = append(o.Registers, server.Register{
			Layout: modbus.Point{Address: at(modbus.Holding, uint16(2*i)), Type: modbus.Float32}, Device: "d", Point: fmt.Sprint(i), Index: i, Kind: gateway.KindFloat64,
		})
	}
	m, err := server.NewMap(o)
	if err != nil {
		b.Fatal(err)
	}
	observe(m, count, 0)
	return m
}

// observe brings a reading of each point.
func observe(m *server.Map, count, round int) {
	readings, stale := make([]gateway.Reading, count), make([]time.Duration, count)
	for i := range readings {
		readings[i] = gateway.Reading{Value: gateway.Float64(float64(i + round)), Quality: gateway.QualityGood, Time: time.Now()}
		stale[i] = time.Hour
	}
	m.Observe("d", readings, stale)
}

// BenchmarkMapRead reads 1 or 62 float32 values, without a connection.
func BenchmarkMapRead(b *testing.B) {
	for _, count := range []int{1, 62} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			m := block(b, 1000)
			request := []byte{3, 0, 100, 0, byte(2 * count)}
			b.ReportAllocs()
			for b.Loop() {
				if answer := m.Serve(b.Context(), 1, request); answer[0] != 3 {
					b.Fatalf("% x", answer)
				}
			}
		})
	}
}

// BenchmarkMapObserve takes 100 readings of which all have changed.
func BenchmarkMapObserve(b *testing.B) {
	m := block(b, 100)
	b.ReportAllocs()
	round := 0
	for b.Loop() {
		round++
		observe(m, 100, round)
	}
}

// BenchmarkServer reads 62 float32 values over TCP, one request after the other.
func BenchmarkServer(b *testing.B) {
	s := start(b, server.Options{Handler: block(b, 100)})
	c := dial(b, s)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	request, answer := adu(1, 1, 3, 0, 0, 0, 124), make([]byte, 9+248)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			b.Fatal(err)
		}
	}
}
