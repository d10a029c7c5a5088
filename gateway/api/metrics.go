package api

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/gateway"
)

// collector turns snapshots into metrics at each scrape, so that components count in plain fields and know nothing of Prometheus.
type collector struct {
	o    Options
	desc map[string]*prometheus.Desc // by name; written once, in newCollector
}

// metric is one row of the tables below.
type metric struct {
	name, help string
	kind       prometheus.ValueType
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func newCollector(o Options) *collector {
	c := &collector{o: o, desc: map[string]*prometheus.Desc{}}
	c.describe(nil, buildMetrics())
	c.describe(nil, bufferMetrics(gateway.BufferStats{}))
	c.describe(nil, cardMetrics(0))
	c.describe([]string{"queue"}, queueMetrics(gateway.QueueStats{}))
	c.describe([]string{"queue", "reason"}, dropMetrics(0))
	c.describe(nil, brokerMetrics(gateway.BrokerStats{}))
	c.describe([]string{"upstream"}, bridgeMetrics(gateway.BridgeStats{}))
	c.describe([]string{"upstream", "reason"}, waitingMetrics())
	c.describe([]string{"bus"}, busMetrics(gateway.BusStats{}))
	c.describe([]string{"bus", "reason"}, busFailureMetrics(0))
	c.describe([]string{"device"}, deviceMetrics(gateway.DeviceStats{}))
	c.describe([]string{"listener"}, listenerMetrics(gateway.ListenerStats{}))
	c.describe([]string{"server"}, modbusServerMetrics(gateway.ModbusServerStats{}))
	return c
}

// row is a metric with its value now.
type row struct {
	metric
	value float64
}

func (c *collector) describe(labels []string, rows []row) {
	for _, r := range rows {
		var constant prometheus.Labels
		if r.name == "tidegate_build_info" {
			constant = prometheus.Labels{"version": c.o.Version, "gateway": c.o.GatewayID}
		}
		c.desc[r.name] = prometheus.NewDesc(r.name, r.help, labels, constant)
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.emit(ch, buildMetrics())
	c.collectBuffer(ch, c.o.Snapshots.Buffer())
	c.emit(ch, brokerMetrics(c.o.Snapshots.Broker()))
	for _, b := range c.o.Snapshots.Bridges() {
		c.emit(ch, bridgeMetrics(b), b.Name)
		if b.Waiting != "" {
			c.emit(ch, waitingMetrics(), b.Name, b.Waiting)
		}
	}
	for _, b := range c.o.Snapshots.Buses() {
		c.emit(ch, busMetrics(b), b.Name)
		for reason, n := range b.Failures {
			c.emit(ch, busFailureMetrics(n), b.Name, reason)
		}
		for _, d := range b.Devices {
			c.emit(ch, deviceMetrics(d), d.Name)
		}
	}
	for _, l := range c.o.Snapshots.listeners() {
		c.emit(ch, listenerMetrics(l), l.Name)
	}
	for _, m := range c.o.Snapshots.modbusServers() {
		c.emit(ch, modbusServerMetrics(m), m.Name)
	}
}

func (c *collector) collectBuffer(ch chan<- prometheus.Metric, s gateway.BufferStats) {
	c.emit(ch, bufferMetrics(s))
	if life, ok := CardLife(s, c.o.CardEndurance, time.Now()); ok {
		c.emit(ch, cardMetrics(life))
	}
	for _, q := range s.Queues {
		c.emit(ch, queueMetrics(q), q.Name)
		for reason, n := range q.Dropped {
			c.emit(ch, dropMetrics(n), q.Name, reason)
		}
	}
}

// emit sends rows with their labels. Names of sessions that were saved from a damaged file need not be UTF-8, as labels must be.
func (c *collector) emit(ch chan<- prometheus.Metric, rows []row, labels ...string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\ufffd")
	}
	for _, r := range rows {
		ch <- prometheus.MustNewConstMetric(c.desc[r.name], r.kind, r.value, labels...)
	}
}

func count[T uint64 | int | int64](name, help string, v T) row {
	return row{metric{name, help, counter}, float64(v)}
}

func level[T uint64 | int | int64 | float64](name, help string, v T) row {
	return row{metric{name, help, gauge}, float64(v)}
}

func truth(name, help string, v bool) row {
	if v {
		return level(name, help, 1)
	}
	return level(name, help, 0)
}

func buildMetrics() []row {
	return []row{level("tidegate_build_info", "Always 1; the labels name the build and the gateway.", 1)}
}

func bufferMetrics(s gateway.BufferStats) []row {
	return []row{
		count("tidegate_buffer_appended_total", "Records handed over with at least one durable consumer.", s.Appended),
		count("tidegate_buffer_elided_total", "Records acknowledged by all consumers before their commit, never written.", s.Elided),
		count("tidegate_buffer_written_total", "Records committed to disk.", s.Written),
		count("tidegate_buffer_commits_total", "Transactions committed.", s.Commits),
		count("tidegate_buffer_fsyncs_total", "Calls of fsync and fdatasync on the database and its log.", s.Fsyncs),
		count("tidegate_buffer_written_bytes_total", "Bytes written to the database and its log.", s.BytesOut),
		count("tidegate_buffer_commit_failures_total", "Commits that failed and are tried again.", s.Failures),
		count("tidegate_buffer_dropped_total", "Records dropped by a limit.", s.Dropped),
		count("tidegate_buffer_damaged_total", "Records set aside because their check sum was wrong.", s.Damaged),
		level("tidegate_buffer_pending_records", "Records in memory, neither committed nor elided.", s.Pending),
		level("tidegate_buffer_file_bytes", "Size of the database and its log.", s.FileBytes),
		level("tidegate_buffer_last_commit_seconds", "Duration of the newest commit.", s.LastCommit.Seconds()),
		level("tidegate_buffer_max_bytes", "What the file may grow to now: max_size, less where the disk has no room for it.", s.MaxBytes),
		level("tidegate_buffer_disk_free_bytes", "Bytes free on the file's disk, -1 when not known.", s.DiskFree),
		truth("tidegate_buffer_failing", "1 while commits fail and acknowledgements that need the disk are withheld.", s.Failing),
		truth("tidegate_buffer_file_set_aside", "1 when a damaged file was set aside at this start or since.", s.SetAside != ""),
		truth("tidegate_buffer_salvaging", "1 while records are being saved from a damaged file.", s.Salvaging),
		count("tidegate_buffer_salvaged_total", "Records saved from a damaged file.", s.Salvaged),
		level("tidegate_buffer_dead_records", "Records set aside because nobody could read or take them.", s.Dead),
		count("tidegate_buffer_wear_bytes_total", "Bytes written to the disk since the file was made, over all runs.", s.WearBytes),
		level("tidegate_buffer_wear_since_timestamp_seconds", "When the file was made, 0 when not known.", seconds(s.WearSince)),
	}
}

func cardMetrics(life time.Duration) []row {
	return []row{level("tidegate_buffer_card_life_seconds",
		"How long the card will last at the rate of writing so far, by the endurance that is configured.", life.Seconds())}
}

func dropMetrics(n uint64) []row {
	return []row{count("tidegate_queue_dropped_total", "Deliveries that a limit took from the queue.", n)}
}

// seconds is a time as Prometheus has it, 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func queueMetrics(q gateway.QueueStats) []row {
	return []row{
		level("tidegate_queue_records", "Deliveries not yet acknowledged.", q.Depth),
		level("tidegate_queue_oldest_timestamp_seconds", "Original time of the oldest of them, 0 when there is none.", seconds(q.Oldest)),
		truth("tidegate_queue_online", "1 while a consumer is attached.", q.Online),
		level("tidegate_queue_bytes", "About what the deliveries take on disk.", q.Bytes),
		truth("tidegate_queue_orphan", "1 while no configured consumer claims the queue.", !q.Orphan.IsZero()),
	}
}

func brokerMetrics(s gateway.BrokerStats) []row {
	return []row{
		level("tidegate_mqtt_connections", "Client connections open now.", s.Connections),
		level("tidegate_mqtt_sessions", "Persistent sessions, connected or not.", s.Sessions),
		level("tidegate_mqtt_subscriptions", "Subscriptions of all sessions.", s.Subscriptions),
		level("tidegate_mqtt_retained_messages", "Retained messages.", s.Retained),
		count("tidegate_mqtt_received_total", "PUBLISH packets received from clients.", s.Received),
		count("tidegate_mqtt_sent_total", "PUBLISH packets sent to clients.", s.Sent),
		count("tidegate_mqtt_received_bytes_total", "Bytes received from clients.", s.BytesIn),
		count("tidegate_mqtt_sent_bytes_total", "Bytes sent to clients.", s.BytesOut),
		count("tidegate_mqtt_dropped_total", "Deliveries dropped by a session's limit.", s.Dropped),
		count("tidegate_mqtt_refused_total", "Connections refused before CONNACK.", s.Refused),
		count("tidegate_mqtt_malformed_total", "Connections closed for a protocol error.", s.Malformed),
		count("tidegate_mqtt_denied_total", "Messages and wills dropped because their client may not publish to the topic.", s.Denied),
		count("tidegate_mqtt_logins_limited_total", "Logins refused unseen after too many wrong passwords.", s.Limited),
	}
}

func listenerMetrics(s gateway.ListenerStats) []row {
	return []row{level("tidegate_listener_certificate_expiry_timestamp_seconds", "When the certificate that clients are shown ends.", seconds(s.CertExpiry))}
}

func bridgeMetrics(s gateway.BridgeStats) []row {
	return []row{
		truth("tidegate_bridge_connected", "1 while the upstream is connected.", s.Connected),
		level("tidegate_bridge_epoch", "Number of the newest connection.", s.Epoch),
		level("tidegate_bridge_inflight", "Publishes sent and not yet acknowledged.", s.Inflight),
		count("tidegate_bridge_sent_total", "Publishes sent.", s.Sent),
		count("tidegate_bridge_acked_total", "Publishes acknowledged by the upstream.", s.Acked),
		count("tidegate_bridge_received_total", "Inbound messages taken over.", s.Received),
		count("tidegate_bridge_parked_total", "Records set aside because the upstream cannot take them.", s.Parked),
		count("tidegate_bridge_dropped_total", "Inbound messages dropped or refused.", s.Dropped),
		count("tidegate_bridge_connects_total", "Successful connections.", s.Connects),
		count("tidegate_bridge_failures_total", "Failed attempts and lost connections.", s.Failures),
		count("tidegate_bridge_batches_total", "Messages sent that held several records.", s.Batches),
		level("tidegate_bridge_retry_timestamp_seconds", "Time of the next attempt to connect, 0 when none is planned.", seconds(s.RetryAt)),
		level("tidegate_bridge_certificate_expiry_timestamp_seconds", "When the first certificate in use ends, 0 when none is in use.",
			seconds(s.CertExpiry)),
	}
}

func waitingMetrics() []row {
	return []row{level("tidegate_bridge_waiting", "1 while nothing is sent though there may be something, for the reason.", 1)}
}

func busMetrics(s gateway.BusStats) []row {
	return []row{
		truth("tidegate_bus_open", "1 while the port or connection is open.", s.Open),
		count("tidegate_bus_requests_total", "Requests sent.", s.Requests),
		count("tidegate_bus_timeouts_total", "Requests without an answer in time.", s.Timeouts),
		count("tidegate_bus_errors_total", "Answers refused: check sum, length, unit or function.", s.Errors),
		count("tidegate_bus_exceptions_total", "Exception answers.", s.Exception),
		count("tidegate_bus_opens_total", "Times that the port or connection was opened.", s.Opens),
		count("tidegate_bus_polls_total", "Polls of devices completed.", s.Polls),
		count("tidegate_bus_missed_total", "Poll slots that could not be kept.", s.Missed),
		count("tidegate_bus_writes_total", "Writes carried out.", s.Writes),
		count("tidegate_bus_passed_total", "Requests of other masters that had their turn.", s.Passed),
		count("tidegate_bus_refused_total", "Requests of other masters that were not sent, because too many waited, one waited for too long, or the bus paused.", s.Refused),
		count("tidegate_bus_panics_total", "Panics caught at the bus's boundary.", s.Panics),
		{metric{"tidegate_bus_busy_seconds_total", "Time spent in conversations.", counter}, s.Busy.Seconds()},
		level("tidegate_bus_load_ratio", "Share of the last half minute to minute that the bus was busy, 0 to 1.", s.Load),
	}
}

func busFailureMetrics(n uint64) []row {
	return []row{count("tidegate_bus_failures_total",
		"Times that the port or connection could not be opened (refused, unreachable, timeout, open) or was lost (reset, closed, lost).", n)}
}

func deviceMetrics(d gateway.DeviceStats) []row {
	return []row{
		truth("tidegate_device_up", "1 while the device answers.", d.Online),
		level("tidegate_device_last_good_timestamp_seconds", "Time of the newest good reading, 0 when there was none.", seconds(d.LastGood)),
		count("tidegate_device_polls_total", "Polls that the device answered.", d.Polls),
		count("tidegate_device_missed_total", "Poll slots of the device that could not be kept.", d.Missed),
		level("tidegate_device_wanted_polls_per_second", "Polls a second by the device's intervals.", d.Wanted),
		level("tidegate_device_achieved_polls_per_second", "Polls a second that the device answered of late.", d.Achieved),
		truth("tidegate_device_behind", "1 while the device answers and is polled less often than its intervals ask for.", d.Behind),
	}
}

func modbusServerMetrics(s gateway.ModbusServerStats) []row {
	return []row{
		level("tidegate_modbus_server_connections", "Connections of masters open now.", s.Connections),
		count("tidegate_modbus_server_accepted_total", "Connections served.", s.Accepted),
		count("tidegate_modbus_server_denied_total", "Connections refused because allow does not list their address.", s.Denied),
		count("tidegate_modbus_server_refused_total", "Connections refused because there were too many.", s.Refused),
		count("tidegate_modbus_server_evicted_total", "Connections closed in favour of a new one from their address.", s.Evicted),
		count("tidegate_modbus_server_malformed_total", "Connections closed because what came was not Modbus TCP, or not TLS.", s.Malformed),
		count("tidegate_modbus_server_timeouts_total", "Connections closed because no request came, or not all of it.", s.Timeouts),
		count("tidegate_modbus_server_requests_total", "Requests carried out.", s.Requests),
		count("tidegate_modbus_server_exceptions_total", "Requests answered with an exception.", s.Exceptions),
	}
}
