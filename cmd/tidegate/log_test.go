package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/config"
)

// A duration in the log says its unit in both forms, so that nobody takes nanoseconds for seconds.
func TestDurationsInTheLog(t *testing.T) {
	for format, want := range map[config.LogFormat]string{
		config.FormatJSON: `"retry_in":"1m4.5s"`,
		config.FormatText: `retry_in=1m4.5s`,
	} {
		var out bytes.Buffer
		newLogger(&out, config.Log{Level: config.LevelInfo, Format: format}).Info("upstream is not connected", "retry_in", 64500*time.Millisecond)
		if !strings.Contains(out.String(), want) {
			t.Errorf("logged %s, want %s in it", &out, want)
		}
	}
}
